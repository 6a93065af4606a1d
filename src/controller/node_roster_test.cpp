#include "controller/node_roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

NodeTraits enabled(const std::string& architecture = "amd64", bool custom_network = false) {
  return {.obstacles = {}, .architecture = architecture, .custom_network = custom_network};
}
NodeTraits disabled() {
  return {.obstacles = {"it is not Ready"}, .architecture = "amd64", .custom_network = false};
}

TEST(NodeRoster, APodNeedsItsOwnNodeAndAnother) {
  NodeRoster roster;
  roster.update("a", enabled());
  EXPECT_FALSE(roster.suits("a")) << "there is nowhere to go";
  roster.update("b", disabled());
  EXPECT_FALSE(roster.suits("a"));
  roster.update("b", enabled());
  EXPECT_TRUE(roster.suits("a"));
  EXPECT_TRUE(roster.suits("b"));
  EXPECT_FALSE(roster.suits("c")) << "nobody has heard of it";
  EXPECT_FALSE(roster.suits("")) << "it is on none yet";
  roster.update("b", std::nullopt);
  EXPECT_FALSE(roster.suits("a"));
}

TEST(NodeRoster, OnlyNodesAlikeAreEachOthersDestination) {
  NodeRoster roster;
  roster.update("a", enabled("amd64"));
  roster.update("b", enabled("arm64"));
  roster.update("c", enabled("amd64", true));
  for (const char* node : {"a", "b", "c"}) EXPECT_FALSE(roster.suits(node)) << node;
  roster.update("d", enabled("amd64", true));
  EXPECT_TRUE(roster.suits("c"));
  EXPECT_FALSE(roster.suits("a"));
}

TEST(NodeRoster, TellsWhosePodsAChangeConcerns) {
  NodeRoster roster;
  EXPECT_THAT(roster.update("a", enabled()), ElementsAre("a"));
  EXPECT_THAT(roster.update("b", enabled()), UnorderedElementsAre("a", "b")) << "a has a destination now";
  EXPECT_THAT(roster.update("c", enabled()), ElementsAre("c")) << "the others had one already";
  EXPECT_THAT(roster.update("c", enabled()), IsEmpty()) << "nothing has changed";
  EXPECT_THAT(roster.update("d", disabled()), ElementsAre("d"));
  EXPECT_THAT(roster.update("c", std::nullopt), testing::Contains("c"));
  EXPECT_THAT(roster.update("b", disabled()), UnorderedElementsAre("a", "b")) << "a has none any more";
  EXPECT_THAT(roster.update("x", std::nullopt), IsEmpty());
}

// Whatever happens, a pod whose eligibility changes is on a node that was told of.
TEST(NodeRoster, NoChangeIsMissed) {
  NodeRoster roster;
  const std::vector<std::string> names{"a", "b", "c", "d"};
  uint32_t random = 1;
  for (int step = 0; step < 2000; ++step) {
    std::map<std::string, bool> before;
    for (const std::string& name : names) before[name] = roster.suits(name);
    random = random * 1664525 + 1013904223;
    const std::string& changed = names[random >> 8 & 3];
    std::optional<NodeTraits> traits;
    switch (random >> 16 & 3) {
      case 0:
        traits = disabled();
        break;
      case 1:
        traits = enabled("arm64");
        break;
      case 2:
        traits = enabled("amd64");
        break;
      default:
        break;
    }
    const auto concerned = roster.update(changed, traits);
    for (const std::string& name : names) {
      if (before[name] != roster.suits(name)) ASSERT_THAT(concerned, testing::Contains(name)) << "step " << step;
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
  EXPECT_EQ(traits_of(node), enabled("arm64", true));
  roster.update("a", traits_of(node));
  const json pod = {{"metadata", {{"name", "web"}}},
                    {"spec", {{"nodeName", "a"}, {"containers", {{{"name", "web"}}}}}},
                    {"status", {{"phase", "Running"}}}};
  const std::vector<Requirement> all = explain(pod, roster);
  ASSERT_EQ(all.size(), pod_requirements(pod).size() + 2);
  EXPECT_EQ(std::ranges::count_if(all, [](const Requirement& one) { return !one.met(); }), 1);
  EXPECT_EQ(all.back().name, "another node can take it");
  EXPECT_FALSE(all.back().met());
}

}  // namespace
}  // namespace godwit::controller
