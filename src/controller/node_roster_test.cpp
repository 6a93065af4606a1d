#include "controller/node_roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

NodeTraits enabled(const std::string& architecture = "amd64", bool custom_network = false) {
  return {.obstacles = {}, .architecture = architecture, .custom_network = custom_network, .offers = {}, .open = true};
}
NodeTraits disabled() {
  return {.obstacles = {"it is not Ready"}, .architecture = "amd64"};
}
// Of the class that a pod may ask for, or tainted.
NodeTraits special(const char* what) {
  json node = {{"metadata", {{"name", what}, {"labels", {{"class", what}}}}}};
  if (what == std::string("tainted")) node["spec"]["taints"] = {{{"key", "own"}, {"effect", "NoSchedule"}}};
  NodeTraits traits = traits_of(node);
  traits.architecture = "amd64";
  traits.obstacles.clear();
  return traits;
}
json pod_on(const std::string& node, const json& demands = json::object()) {
  json pod = {{"spec", {{"nodeName", node}}}};
  pod["spec"].update(demands);
  return pod;
}
const json wants_fast = {{"nodeSelector", {{"class", "fast"}}}};
const json tolerant = {{"tolerations", {{{"key", "own"}, {"operator", "Exists"}}}}};

TEST(NodeRoster, APodNeedsItsOwnNodeAndAnother) {
  NodeRoster roster;
  roster.update("a", enabled());
  EXPECT_FALSE(roster.suits(pod_on("a"))) << "there is nowhere to go";
  roster.update("b", disabled());
  EXPECT_FALSE(roster.suits(pod_on("a")));
  roster.update("b", enabled());
  EXPECT_TRUE(roster.suits(pod_on("a")));
  EXPECT_TRUE(roster.suits(pod_on("b")));
  EXPECT_FALSE(roster.suits(pod_on("c"))) << "nobody has heard of it";
  EXPECT_FALSE(roster.suits(pod_on(""))) << "it is on none yet";
  roster.update("b", std::nullopt);
  EXPECT_FALSE(roster.suits(pod_on("a")));
}

TEST(NodeRoster, OnlyNodesAlikeAreEachOthersDestination) {
  NodeRoster roster;
  roster.update("a", enabled("amd64"));
  roster.update("b", enabled("arm64"));
  roster.update("c", enabled("amd64", true));
  for (const char* node : {"a", "b", "c"}) EXPECT_FALSE(roster.suits(pod_on(node))) << node;
  roster.update("d", enabled("amd64", true));
  EXPECT_TRUE(roster.suits(pod_on("c")));
  EXPECT_FALSE(roster.suits(pod_on("a")));
}

TEST(NodeRoster, TheOtherNodeMustBeWhatThePodAsksFor) {
  NodeRoster roster;
  roster.update("a", special("fast"));
  roster.update("b", special("slow"));
  EXPECT_TRUE(roster.suits(pod_on("a")));
  EXPECT_FALSE(roster.suits(pod_on("a", wants_fast)));
  roster.update("c", special("fast"));
  EXPECT_TRUE(roster.suits(pod_on("a", wants_fast)));
}

TEST(NodeRoster, ATaintedNodeIsForThoseThatTolerateIt) {
  NodeRoster roster;
  roster.update("a", enabled());
  roster.update("b", special("tainted"));
  EXPECT_FALSE(roster.suits(pod_on("a")));
  EXPECT_TRUE(roster.suits(pod_on("a", tolerant)));
  EXPECT_TRUE(roster.suits(pod_on("b"))) << "away from it every pod may go";
}

TEST(NodeRoster, TellsWhosePodsAChangeConcerns) {
  NodeRoster roster;
  EXPECT_THAT(roster.update("a", enabled()).nodes, ElementsAre("a"));
  EXPECT_THAT(roster.update("b", enabled()).nodes, ElementsAre("a", "b")) << "a has a destination now";
  EXPECT_TRUE(roster.update("c", enabled()).demanding) << "it may be what they ask for";
  EXPECT_THAT(roster.update("c", enabled()).nodes, IsEmpty()) << "nothing has changed";
  const auto concern = roster.update("d", disabled());
  EXPECT_THAT(concern.nodes, ElementsAre("d"));
  EXPECT_FALSE(concern.demanding);
  EXPECT_THAT(roster.update("e", enabled()).nodes, ElementsAre("e")) << "the others had several already";
  roster.update("e", std::nullopt);
  EXPECT_THAT(roster.update("c", std::nullopt).nodes, Contains("c"));
  EXPECT_THAT(roster.update("b", disabled()).nodes, ElementsAre("a", "b")) << "a has none any more";
  EXPECT_THAT(roster.update("x", std::nullopt).nodes, IsEmpty());
}

// Whatever happens, a pod whose eligibility changes is one that was told of.
TEST(NodeRoster, NoChangeIsMissed) {
  NodeRoster roster;
  const std::vector<std::string> names{"a", "b", "c", "d", "e"};
  const std::vector<std::optional<NodeTraits>> states{std::nullopt, disabled(),      enabled("arm64"),
                                                      enabled(),    special("fast"), special("tainted")};
  const std::vector<json> demands{json::object(), wants_fast, tolerant};
  const auto look = [&] {
    std::map<std::string, std::vector<bool>> all;
    for (const std::string& name : names) {
      for (const json& asked : demands) all[name].push_back(roster.suits(pod_on(name, asked)));
    }
    return all;
  };
  uint32_t random = 1;
  for (int step = 0; step < 5000; ++step) {
    auto before = look();
    random = random * 1664525 + 1013904223;
    const auto concern = roster.update(names[(random >> 8) % names.size()], states[(random >> 16) % states.size()]);
    auto after = look();
    for (const std::string& name : names) {
      if (before[name][0] != after[name][0]) ASSERT_THAT(concern.nodes, Contains(name)) << "step " << step;
      if (before[name] != after[name] && before[name][0] == after[name][0]) {
        ASSERT_TRUE(concern.demanding || std::ranges::count(concern.nodes, name) == 1) << "step " << step;
      }
    }
  }
}

TEST(NodeRoster, SaysInWordsWhatIsMissing) {
  NodeRoster roster;
  const auto said = [&](const std::string& node) {
    std::string all;
    for (const Requirement& one : roster.requirements(node)) {
      for (const std::string& obstacle : one.obstacles) all += obstacle + "\n";
    }
    return all;
  };
  EXPECT_THAT(said(""), HasSubstr("it is on no node yet"));
  EXPECT_THAT(said("a"), HasSubstr("there is no node a"));
  roster.update("a", disabled());
  EXPECT_THAT(said("a"), testing::AllOf(HasSubstr("it is not Ready"), HasSubstr("enable a node template")));
  roster.update("a", enabled());
  EXPECT_THAT(said("a"), HasSubstr("no other node is enabled"));
  roster.update("b", enabled("arm64"));
  EXPECT_THAT(said("a"), HasSubstr("same CPU architecture"));
  roster.update("c", enabled());
  EXPECT_EQ(said("a"), "");
}

TEST(Explain, ListsWhatThePodAndItsNodesMustMeet) {
  NodeRoster roster;
  const json node = json::parse(R"({
    "metadata": {"name": "a", "labels": {"live.cast.ai/migration-enabled": "true", "kubernetes.io/arch": "arm64",
                                         "live.cast.ai/custom-network": "true"}},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
               "conditions": [{"type": "Ready", "status": "True"}]}})");
  EXPECT_EQ(traits_of(node).architecture, "arm64");
  EXPECT_TRUE(traits_of(node).custom_network);
  EXPECT_TRUE(traits_of(node).obstacles.empty());
  roster.update("a", traits_of(node));
  const json pod = {{"metadata", {{"name", "web"}}},
                    {"spec", {{"nodeName", "a"}, {"runtimeClassName", "live"}, {"containers", {{{"name", "web"}}}}}},
                    {"status", {{"phase", "Running"}}}};
  const std::vector<Requirement> all = explain(pod, {}, roster);
  ASSERT_EQ(all.size(), pod_requirements(pod, {}).size() + 2);
  EXPECT_EQ(std::ranges::count_if(all, [](const Requirement& one) { return !one.met(); }), 1);
  EXPECT_EQ(all.back().name, "another node can take it");
  EXPECT_FALSE(all.back().met());
}

}  // namespace
}  // namespace godwit::controller
