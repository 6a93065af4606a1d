#include "controller/pod_affinity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* by_host = "kubernetes.io/hostname";

json node(const std::string& name, const char* zone) {
  json made = {{"metadata", {{"name", name}, {"labels", {{by_host, name}}}}}};
  if (zone != nullptr) made["metadata"]["labels"]["zone"] = zone;
  return made;
}
const json a = node("a", "x");
const json b = node("b", "x");
const json c = node("c", "y");
const json d = node("d", nullptr);
const std::vector<json> nodes{a, b, c, d};

json term(const std::string& app, const std::string& key, const json& more = json::object()) {
  json made = {{"labelSelector", {{"matchLabels", {{"app", app}}}}}, {"topologyKey", key}};
  made.update(more);
  return made;
}
json pod(const std::string& name, const std::string& app, const std::string& node, const std::string& space = "shop") {
  return {{"metadata", {{"name", name}, {"namespace", space}, {"uid", name}, {"labels", {{"app", app}}}}},
          {"spec", {{"nodeName", node}}}};
}
json with(json pod, const char* kind, const json& term) {
  pod["spec"]["affinity"][kind]["requiredDuringSchedulingIgnoredDuringExecution"] = json::array({term});
  return pod;
}

TEST(PodAffinity, OneThatAsksForNothingFitsEverywhere) {
  PodAffinity affinity(pod("web-0", "web", "a"), nodes);
  affinity.add(pod("web-1", "web", "b"));
  EXPECT_THAT(affinity.misfits(b), IsEmpty());
}

TEST(PodAffinity, ReplicasThatWantToBeApartStayApart) {
  const json moving = with(pod("web-0", "web", "a"), "podAntiAffinity", term("web", by_host));
  PodAffinity affinity(moving, nodes);
  affinity.add(moving);
  affinity.add(with(pod("web-1", "web", "b"), "podAntiAffinity", term("web", by_host)));
  json ended = pod("web-2", "web", "c");
  ended["status"]["phase"] = "Failed";
  affinity.add(ended);
  EXPECT_THAT(affinity.misfits(b), testing::SizeIs(2)) << "both are against it";
  EXPECT_THAT(affinity.misfits(c), IsEmpty());
}

TEST(PodAffinity, AZoneIsAllOfItsNodes) {
  PodAffinity affinity(with(pod("web-0", "web", "c"), "podAntiAffinity", term("web", "zone")), nodes);
  affinity.add(pod("web-1", "web", "a"));
  EXPECT_THAT(affinity.misfits(b), ElementsAre(HasSubstr("anti-affinity, by zone")));
  EXPECT_THAT(affinity.misfits(c), IsEmpty());
  EXPECT_THAT(affinity.misfits(d), IsEmpty()) << "it is in no zone";
}

TEST(PodAffinity, OthersMayBeAgainstIt) {
  PodAffinity affinity(pod("web-0", "web", "a"), nodes);
  affinity.add(with(pod("quiet", "quiet", "c"), "podAntiAffinity", term("web", "zone")));
  EXPECT_THAT(affinity.misfits(c), ElementsAre(HasSubstr("against this one")));
  EXPECT_THAT(affinity.misfits(b), IsEmpty());
}

TEST(PodAffinity, ThoseThatWantToBeTogetherStayTogether) {
  PodAffinity affinity(with(pod("web-0", "web", "a"), "podAffinity", term("cache", "zone")), nodes);
  EXPECT_THAT(affinity.misfits(b), ElementsAre(HasSubstr("pod affinity, by zone"))) << "there is none";
  affinity.add(pod("cache-0", "cache", "a"));
  EXPECT_THAT(affinity.misfits(b), IsEmpty());
  EXPECT_THAT(affinity.misfits(c), ElementsAre(HasSubstr("pod affinity")));
  EXPECT_THAT(affinity.misfits(d), ElementsAre(HasSubstr("pod affinity"))) << "it is in no zone";
  const PodAffinity first(with(pod("web-0", "web", "a"), "podAffinity", term("web", "zone")), nodes);
  EXPECT_THAT(first.misfits(c), IsEmpty()) << "it is the first of them";
  EXPECT_THAT(first.misfits(d), testing::SizeIs(1)) << "in some zone it must be";
}

TEST(PodAffinity, IsAboutPodsOfItsNamespaceUnlessItNamesOthers) {
  const auto against = [](const json& more) {
    PodAffinity affinity(with(pod("web-0", "web", "a"), "podAntiAffinity", term("web", by_host, more)), nodes);
    affinity.add(pod("web-9", "web", "b", "elsewhere"));
    return affinity.misfits(b).size();
  };
  EXPECT_EQ(against(json::object()), 0U);
  EXPECT_EQ(against({{"namespaces", json::array({"elsewhere"})}}), 1U);
  EXPECT_EQ(against({{"namespaceSelector", json::object()}}), 1U);
}

}  // namespace
}  // namespace godwit::controller
