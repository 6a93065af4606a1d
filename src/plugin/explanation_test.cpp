#include "plugin/explanation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::plugin {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr cli::Look plain{.live = false, .colour = false, .unicode = false, .width = 80};

json node(const std::string& name, bool enabled, bool ready = true) {
  json labels = {{"kubernetes.io/arch", "amd64"}, {"pool", "a"}};
  if (enabled) labels["live.cast.ai/migration-enabled"] = "true";
  return {{"metadata", {{"name", name}, {"labels", labels}}},
          {"status",
           {{"addresses", {{{"type", "InternalIP"}, {"address", "10.0.0.7"}}}},
            {"nodeInfo", {{"architecture", "amd64"}}},
            {"conditions", {{{"type", "Ready"}, {"status", ready ? "True" : "False"}}}}}}};
}

json pod(const char* patch = "{}") {
  json object = json::parse(R"({
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"nodeName": "node-1", "runtimeClassName": "live", "containers": [{"name": "web"}]},
    "status": {"phase": "Running", "containerStatuses": [{"name": "web", "state": {"running": {}}}]}})");
  object.merge_patch(json::parse(patch));
  return object;
}

std::string said(const Explanation& explanation) {
  std::string text;
  for (const cli::Line& line : render_explanation(explanation, plain)) text += line.render(false) + "\n";
  return text;
}

const std::vector<json> two_enabled{node("node-1", true), node("node-2", true)};
const std::vector<json> no_templates;
const Surroundings two_nodes{.claims = {}, .nodes = two_enabled, .templates = no_templates, .pods = {}};

TEST(Explanation, AnEligiblePod) {
  const Explanation explanation =
      explain_pod(pod(R"({"metadata": {"labels": {"live.cast.ai/migration-enabled": "true"}}})"), two_nodes);
  EXPECT_EQ(explanation.eligible(), true);
  EXPECT_EQ(said(explanation), R"(Pod shop/web on node-1
  + its user allows it
  + its owner takes a moved pod back
  + it is running
  + Godwit's runtime runs it
  + it shares nothing with its node
  + its containers can be moved
  + its volumes can go along
  + its node supports live migration
  + another node can take it

Other nodes:
  + node-2 can take it

+ shop/web can be migrated.
  What its program has open is looked at by its node's agent when the migration begins.
)");
}

TEST(Explanation, EveryObstacleHasItsReasonAndWhatToDo) {
  const Explanation explanation = explain_pod(
      pod(R"({"spec": {"hostPID": true, "containers": [{"name": "web", "tty": true}],
                       "volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}]}})"),
      {.claims = {json::parse(R"({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}})")},
       .nodes = two_enabled,
       .templates = no_templates,
       .pods = {}});
  EXPECT_EQ(explanation.eligible(), false);
  EXPECT_THAT(
      said(explanation),
      AllOf(HasSubstr("x its volumes can go along\n      its volume logs is a hostPath\n      only one node at a time "
                      "may hold the volume of its claim data:"),
            HasSubstr("terminal or standard input"), HasSubstr("hostPID"),
            HasSubstr("x shop/web cannot be migrated: 3 of 9 requirements are not met.")));
  for (const controller::Requirement& one : explanation.requirements) EXPECT_FALSE(one.remedy.empty()) << one.name;
}

TEST(Explanation, SaysOfEachOtherNodeWhyNot) {
  std::vector<json> nodes{node("node-1", true), node("node-2", false), node("node-3", true), node("node-4", true)};
  nodes[2]["spec"]["unschedulable"] = true;
  nodes[3]["metadata"]["labels"]["kubernetes.io/arch"] = "arm64";
  const std::vector<json> templates{
      {{"metadata", {{"name", "t"}}},
       {"spec", {{"nodeSelector", {{"matchLabels", {{"pool", "a"}}}}}, {"liveMigration", {{"enabled", true}}}}},
       {"status", {{"refused", {{{"name", "node-2"}, {"reason", "AgentSilent"}, {"message", "its agent is away"}}}}}}}};
  EXPECT_THAT(said(explain_pod(pod(), {.claims = {}, .nodes = nodes, .templates = templates, .pods = {}})),
              AllOf(HasSubstr("x node-2\n      node node-2 is not enabled"), HasSubstr("its agent is away"),
                    HasSubstr("node node-3 is cordoned"), HasSubstr("node node-4 is of another CPU architecture")));
}

TEST(Explanation, WhatThePodAsksOfItsNodesCounts) {
  const Explanation explanation = explain_pod(pod(R"({"spec": {"nodeSelector": {"disk": "ssd"}}})"), two_nodes);
  EXPECT_EQ(explanation.eligible(), false);
  EXPECT_FALSE(explanation.requirements.back().met());
  EXPECT_FALSE(explanation.others->at(0).obstacles.empty());
}

TEST(Explanation, OtherPodsCount) {
  Surroundings around = two_nodes;
  around.nodes->at(1)["status"]["allocatable"] = {{"pods", "1"}};
  around.pods.emplace().push_back(
      json::parse(R"({"metadata": {"name": "other", "uid": "o"}, "spec": {"nodeName": "node-2"}})"));
  const Explanation explanation = explain_pod(pod(), around);
  EXPECT_EQ(explanation.eligible(), false);
  EXPECT_THAT(said(explanation), HasSubstr("node node-2 has too little pods"));
}

TEST(Explanation, ALabelThatSaysOtherwiseIsMentioned) {
  EXPECT_THAT(said(explain_pod(pod(), two_nodes)), HasSubstr("The live controller does not say so"));
}

TEST(Explanation, WithoutTheNodesTheLabelSpeaksForThem) {
  EXPECT_EQ(explain_pod(pod(), {}).eligible(), std::nullopt);
  EXPECT_THAT(said(explain_pod(pod(), {})),
              AllOf(HasSubstr("? Whether shop/web can be migrated is not known"), Not(HasSubstr("Other nodes"))));
  const json labelled = pod(R"({"metadata": {"labels": {"live.cast.ai/migration-enabled": "true"}}})");
  EXPECT_EQ(explain_pod(labelled, {}).eligible(), true);
  EXPECT_EQ(explain_pod(pod(R"({"spec": {"hostPID": true}})"), {}).eligible(), false);
}

TEST(NodeReport, SaysWhyANodeIsNotEnabled) {
  const std::vector<json> nodes{node("node-1", true), node("node-2", false), node("node-3", false, false),
                                node("node-4", false)};
  const std::vector<json> templates{
      {{"metadata", {{"name", "workers"}}},
       {"spec", {{"nodeSelector", {{"matchLabels", {{"pool", "a"}}}}}, {"liveMigration", {{"enabled", true}}}}},
       {"status",
        {{"refused", {{{"name", "node-2"}, {"reason", "AgentSilent"}, {"message", "its agent does not answer"}}}}}}}};
  const std::vector<json> agents{
      {{"metadata", {{"name", "agent-x"}, {"namespace", "godwit"}}},
       {"spec", {{"nodeName", "node-2"}}},
       {"status",
        {{"phase", "Running"},
         {"containerStatuses",
          {{{"name", "agent"}, {"ready", false}, {"state", {{"waiting", {{"reason", "CrashLoopBackOff"}}}}}}}}}}}};
  const auto reports = report_nodes(nodes, templates, agents);
  std::string text;
  for (const cli::Line& line : render_nodes(reports, plain)) text += line.render(false) + "\n";
  EXPECT_EQ(text, R"(NODE    ENABLED  READY  AGENT    TEMPLATES  CPU    NETWORK  REASON
node-1  yes      yes    answers  workers    amd64  -        -
node-2  no       yes    silent   workers    amd64  -        AgentSilent
node-3  no       no     -        workers    amd64  -        NotReady
node-4  no       yes    -        workers    amd64  -        NotAssessed

node-2: its agent does not answer
node-2: its agent's pod is godwit/agent-x: CrashLoopBackOff
node-3: the node is not Ready: kubectl describe node says why
node-4: a node template wants it, but the live controller has not said anything of it: does godwit-controller run?
)");
}

TEST(NodeReport, WithoutAnEnabledNodeItSaysWhatToDo) {
  const auto reports = report_nodes({node("node-1", false)}, no_templates, std::nullopt);
  std::string text;
  for (const cli::Line& line : render_nodes(reports, plain)) text += line.render(false) + "\n";
  EXPECT_THAT(text, AllOf(HasSubstr("NotEnabled"), HasSubstr("No node is enabled for live migration: enable a node")));
  EXPECT_THAT(report_nodes({node("node-1", false)}, std::nullopt, std::nullopt)[0].message,
              HasSubstr("node templates may not be read"));
}

}  // namespace
}  // namespace godwit::plugin
