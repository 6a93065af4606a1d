// Labels of nodes and pods, and the status of node templates, at a real API server.
#include <gmock/gmock.h>

#include "cluster_objects.h"
#include "controller/assessment.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using kube::text_at;
using testing::HasSubstr;

// As in production, but that silence is noticed sooner.
AssessmentOptions impatient() {
  AssessmentOptions options;
  options.nodes.agents.interval = milliseconds(500);
  options.nodes.agents.answer_time = seconds(2);
  options.nodes.agents.backoff = {milliseconds(100), milliseconds(500), 0.2};
  return options;
}

json enabled_for(const std::string& pool) {
  return {{"nodeSelector", {{"matchLabels", {{"pool", pool}}}}}, {"liveMigration", {{"enabled", true}}}};
}

struct AssessmentTest : ClusterTest {
  void start() {
    view.emplace(client);
    assessment.emplace(client, *view, link, impatient());
    assessment->start();
  }
  json ready_condition(const std::string& name) {
    const json object = get({api::node_templates, "", name, ""});
    return api::find_condition(object.value("status", json::object()), "Ready").has_value()
               ? object["status"]["conditions"][0]
               : json::object();
  }
  std::optional<ClusterView> view;
  std::optional<Assessment> assessment;
};

TEST_F(AssessmentTest, ANodeIsEnabledByItsTemplateItsReadinessAndItsAgent) {
  const std::string good = make_node(1, {{"pool", "a"}, {"zone", "x"}});
  const std::string without_agent = make_node(2, {{"pool", "a"}}, false);
  const std::string not_ready = make_node(3, {{"pool", "a"}});
  set_ready(not_ready, false);
  const std::string unselected = make_node(4, {{"pool", "b"}});
  make_template("a", enabled_for("a"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(good)); }));
  EXPECT_EQ(labels_of(node_path(good))["zone"], "x") << "labels of others stay";
  const auto status = [&] { return get({api::node_templates, "", "a", ""}).value("status", json::object()); };
  ASSERT_TRUE(wait_until([&] { return status().value("refused", json::array()).size() == 2; })) << status().dump();
  EXPECT_EQ(status()["nodes"], 3);
  EXPECT_EQ(status()["enabledNodes"], 1);
  ASSERT_TRUE(wait_until([&] { return status()["refused"][0]["reason"] == "AgentSilent"; })) << status().dump();
  EXPECT_EQ(status()["refused"][0]["name"], without_agent);
  EXPECT_EQ(status()["refused"][1]["name"], not_ready);
  EXPECT_EQ(status()["refused"][1]["reason"], "NotReady");
  EXPECT_EQ(ready_condition("a")["status"], "False");
  EXPECT_THAT(text_at(ready_condition("a"), "/message"), HasSubstr("2 of 3 nodes do not support live migration"));
  for (const std::string& name : {without_agent, not_ready, unselected}) EXPECT_FALSE(enabled(node_path(name))) << name;
  agents.answer(without_agent, address(2));
  set_ready(not_ready, true);
  ASSERT_TRUE(wait_until([&] { return ready_condition("a").value("status", "") == "True"; })) << status().dump();
  EXPECT_EQ(status()["enabledNodes"], 3);
  EXPECT_FALSE(status().contains("refused"));
  EXPECT_FALSE(enabled(node_path(unselected)));
}

TEST_F(AssessmentTest, ANodeWhoseAgentFallsSilentIsEnabledNoLonger) {
  const std::string node = make_node(1, {{"pool", "silent"}});
  make_template("silent", enabled_for("silent"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(node)); }));
  agents.fall_silent(address(1));
  ASSERT_TRUE(wait_until([&] { return !enabled(node_path(node)); }, seconds(10)));
  agents.answer(node, address(1));
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(node)); }, seconds(10)));
}

TEST_F(AssessmentTest, LabelsFollowTheTemplate) {
  const std::string node = make_node(1, {{"pool", "follow"}});
  json spec = enabled_for("follow");
  spec["customNetwork"] = true;
  make_template("follow", spec);
  start();
  const auto custom = [&] { return labels_of(node_path(node)).value(api::labels::custom_network, "") == "true"; };
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(node)) && custom(); }));
  change_template("follow", {{"liveMigration", {{"enabled", false}}}});
  ASSERT_TRUE(wait_until([&] { return !enabled(node_path(node)); }, seconds(10)));
  EXPECT_TRUE(custom());
  ASSERT_TRUE(wait_until([&] { return ready_condition("follow").value("reason", "") == "NotEnabled"; }));
  change_template("follow", {{"liveMigration", {{"enabled", true}}}, {"customNetwork", false}});
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(node)) && !custom(); }, seconds(10)));
  remove_template("follow");
  ASSERT_TRUE(wait_until([&] { return !enabled(node_path(node)); }, seconds(10)));
}

TEST_F(AssessmentTest, WhatSomebodyLabelsByHandIsPutRight) {
  const std::string selected = make_node(1, {{"pool", "hand"}});
  const std::string other = make_node(2, {{"pool", "other"}, {api::labels::migration_enabled, "true"}});
  make_template("hand", enabled_for("hand"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(selected)) && !enabled(node_path(other)); }));
  label(node_path(selected), api::labels::migration_enabled, nullptr);
  label(node_path(other), api::labels::migration_enabled, "true");
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(selected)) && !enabled(node_path(other)); }, seconds(10)));
}

TEST_F(AssessmentTest, APodIsEligibleAsLongAsItMeetsEverything) {
  const std::string here = make_node(1, {{"pool", "pods"}});
  const std::string there = make_node(2, {{"pool", "pods"}});
  make_pod("good", here, json::object(), {{"app", "web"}});
  make_pod("host", here, {{"hostNetwork", true}});
  make_template("pods", enabled_for("pods"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("good")); }));
  EXPECT_EQ(labels_of(pod_path("good"))["app"], "web");
  make_pod("later", there);
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("later")); }, seconds(10)));
  EXPECT_FALSE(enabled(pod_path("host")));

  label(pod_path("good"), api::labels::migration_disabled, "true");
  ASSERT_TRUE(wait_until([&] { return !enabled(pod_path("good")); }, seconds(10)));
  label(pod_path("good"), api::labels::migration_disabled, nullptr);
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("good")); }, seconds(10)));

  set_ready(there, false);
  ASSERT_TRUE(wait_until([&] { return !enabled(pod_path("good")); }, seconds(10))) << "there is nowhere to go";
  EXPECT_FALSE(enabled(pod_path("later")));
  set_ready(there, true);
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("good")) && enabled(pod_path("later")); }, seconds(10)));
}

TEST_F(AssessmentTest, APodIsEligibleIfSeveralNodesMayHoldItsVolumes) {
  const std::string here = make_node(1, {{"pool", "volumes"}});
  make_node(2, {{"pool", "volumes"}});
  make_claim("own", "ReadWriteOnce");
  make_claim("shared", "ReadWriteMany");
  for (const char* claim : {"own", "shared", "later"}) {
    make_pod(claim, here, {{"volumes", {{{"name", "data"}, {"persistentVolumeClaim", {{"claimName", claim}}}}}}});
  }
  make_template("volumes", enabled_for("volumes"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("shared")); }));
  EXPECT_FALSE(enabled(pod_path("later")));
  make_claim("later", "ReadWriteMany");
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("later")); }, seconds(10)));
  EXPECT_FALSE(enabled(pod_path("own")));
}

TEST_F(AssessmentTest, APodIsEligibleIfItFitsAnotherNode) {
  const std::string here = make_node(1, {{"pool", "fit"}, {"disk", "ssd"}});
  const std::string there = make_node(2, {{"pool", "fit"}});
  make_pod("any", here);
  make_pod("choosy", here, {{"nodeSelector", {{"disk", "ssd"}}}});
  make_template("fit", enabled_for("fit"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("any")); }));
  EXPECT_FALSE(enabled(pod_path("choosy")));
  label(node_path(there), "disk", "ssd");
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("choosy")); }, seconds(10)));
  const json tainted = {{"spec", {{"taints", {{{"key", "own"}, {"value", "x"}, {"effect", "NoSchedule"}}}}}}};
  ASSERT_TRUE(succeeded(client.patch(node_path(there), kube::PatchType::merge, tainted, soon())));
  ASSERT_TRUE(wait_until([&] { return !enabled(pod_path("any")) && !enabled(pod_path("choosy")); }, seconds(10)));
}

TEST_F(AssessmentTest, NothingIsWrittenWhereNothingChanges) {
  const std::string node = make_node(1, {{"pool", "quiet"}});
  const std::string other = make_node(2, {{"pool", "quiet"}});
  make_pod("pod", node);
  make_template("quiet", enabled_for("quiet"));
  start();
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("pod")) && enabled(node_path(other)); }));
  ASSERT_TRUE(wait_until([&] { return ready_condition("quiet").value("status", "") == "True"; }));
  std::this_thread::sleep_for(seconds(1));
  const auto count = [](const char* verb) { return kube::control_plane().requests({.verb = verb, .resource = ""}); };
  const size_t patches = count("patch");
  const size_t lists = count("list");
  const int questions = agents.questions();
  std::this_thread::sleep_for(seconds(3));
  EXPECT_EQ(count("patch"), patches);
  EXPECT_EQ(count("list"), lists);
  EXPECT_GT(agents.questions(), questions + 4) << "agents are still asked";
  EXPECT_LT(agents.questions(), questions + 30);
}

TEST_F(AssessmentTest, LabelsOfAnEarlierLeaderStayUntilAgentsWereAsked) {
  const std::string node = make_node(1, {{"pool", "early"}, {api::labels::migration_enabled, "true"}});
  const std::string other = make_node(2, {{"pool", "early"}, {api::labels::migration_enabled, "true"}});
  make_pod("pod", node, json::object(), {{api::labels::migration_enabled, "true"}});
  make_template("early", enabled_for("early"));
  const std::string node_version = kube::resource_version_of(get(node_path(node)));
  const std::string pod_version = kube::resource_version_of(get(pod_path("pod")));
  start();
  ASSERT_TRUE(wait_until([&] { return ready_condition("early").value("status", "") == "True"; }));
  EXPECT_EQ(kube::resource_version_of(get(node_path(node))), node_version);
  EXPECT_EQ(kube::resource_version_of(get(pod_path("pod"))), pod_version);
}

}  // namespace
}  // namespace godwit::controller
