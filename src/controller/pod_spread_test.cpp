#include "controller/pod_spread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

json node(const std::string& name, const std::string& zone) {
  return {{"metadata", {{"name", name}, {"labels", {{"zone", zone}, {"class", zone}}}}}};
}
const json a = node("a", "x");
const json b = node("b", "x");
const json c = node("c", "y");
const json d = {{"metadata", {{"name", "d"}, {"labels", json::object()}}}};
const std::vector<json> nodes{a, b, c, d};

json pod(const std::string& name, const std::string& where, const std::string& app = "web") {
  return {{"metadata", {{"name", name}, {"namespace", "shop"}, {"uid", name}, {"labels", {{"app", app}}}}},
          {"spec", {{"nodeName", where}}}};
}
json spread(json pod, const json& more = json::object()) {
  json constraint = {{"maxSkew", 1},
                     {"topologyKey", "zone"},
                     {"whenUnsatisfiable", "DoNotSchedule"},
                     {"labelSelector", {{"matchLabels", {{"app", "web"}}}}}};
  constraint.update(more);
  pod["spec"]["topologySpreadConstraints"] = json::array({constraint});
  return pod;
}

TEST(PodSpread, OneWithoutConstraintsFitsEverywhere) {
  PodSpread none(pod("web-0", "a"), nodes);
  none.add(pod("web-1", "b"));
  EXPECT_THAT(none.misfits(d), IsEmpty());
  PodSpread wish(spread(pod("web-0", "a"), {{"whenUnsatisfiable", "ScheduleAnyway"}}), nodes);
  wish.add(pod("web-1", "b"));
  EXPECT_THAT(wish.misfits(b), IsEmpty());
}

TEST(PodSpread, NoDomainHasTooManyMoreThanAnother) {
  const json moving = spread(pod("web-0", "c"));
  PodSpread spread_out(moving, nodes);
  spread_out.add(moving);
  EXPECT_THAT(spread_out.misfits(b), IsEmpty()) << "it would be the only one";
  spread_out.add(pod("web-1", "a"));
  spread_out.add(pod("other", "c", "other"));
  EXPECT_THAT(spread_out.misfits(b), ElementsAre(HasSubstr("one of 2 in zone=x, while there are 0 elsewhere")));
  EXPECT_THAT(spread_out.misfits(c), IsEmpty());
  EXPECT_THAT(spread_out.misfits(d), ElementsAre(HasSubstr("no label zone")));
  spread_out.add(pod("web-2", "c"));
  EXPECT_THAT(spread_out.misfits(b), IsEmpty());
}

TEST(PodSpread, OnlyPodsThatStayCount) {
  PodSpread spread_out(spread(pod("web-0", "c")), nodes);
  json going = pod("web-1", "a");
  going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z";
  spread_out.add(going);
  json elsewhere = pod("web-2", "a");
  elsewhere["metadata"]["namespace"] = "other";
  spread_out.add(elsewhere);
  EXPECT_THAT(spread_out.misfits(b), IsEmpty());
}

TEST(PodSpread, NodesThatThePodMayNotBeOnDoNotCount) {
  json moving = spread(pod("web-0", "a"));
  moving["spec"]["nodeSelector"] = {{"class", "x"}};
  PodSpread selected(moving, nodes);
  selected.add(pod("web-1", "a"));
  selected.add(pod("web-2", "b"));
  EXPECT_THAT(selected.misfits(b), IsEmpty()) << "there is one domain";
  moving["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = "Ignore";
  PodSpread all(moving, nodes);
  all.add(pod("web-1", "a"));
  EXPECT_THAT(all.misfits(b), testing::SizeIs(1));
}

TEST(PodSpread, TooFewDomainsAreAsIfOneWereEmpty) {
  PodSpread spread_out(spread(pod("web-0", "a"), {{"minDomains", 3}}), nodes);
  spread_out.add(pod("web-1", "a"));
  spread_out.add(pod("web-2", "c"));
  EXPECT_THAT(spread_out.misfits(b), testing::SizeIs(1));
}

TEST(PodSpread, LabelsOfThePodsOwnCanBePartOfTheSelector) {
  json moving = spread(pod("web-0", "c"), {{"matchLabelKeys", json::array({"version"})}});
  moving["metadata"]["labels"]["version"] = "2";
  PodSpread spread_out(moving, nodes);
  json old = pod("web-1", "a");
  old["metadata"]["labels"]["version"] = "1";
  spread_out.add(old);
  EXPECT_THAT(spread_out.misfits(b), IsEmpty());
}

}  // namespace
}  // namespace godwit::controller
