#include "controller/node_verdict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using api::NodeTemplateSpec;
using nlohmann::json;
using testing::HasSubstr;

const AgentSighting answering{.answers = true, .why = ""};
const AgentSighting silent{.answers = false, .why = "connection refused"};

NodeTemplateSpec pool(const std::string& name, bool enabled, bool custom_network = false) {
  return {.node_selector = {{"matchLabels", {{"pool", name}}}},
          .live_migration_enabled = enabled,
          .custom_network = custom_network};
}

json node(const char* patch = "{}") {
  json object = json::parse(R"({
    "metadata": {"name": "node-1", "uid": "u1", "labels": {"pool": "apps"}},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
               "conditions": [{"type": "Ready", "status": "True"}]}
  })");
  object.merge_patch(json::parse(patch));
  return object;
}

TEST(JudgeNode, IsEnabledByATemplateItsReadinessAndItsAgent) {
  const NodeVerdict verdict = judge_node(node(), {pool("apps", true)}, answering);
  EXPECT_TRUE(verdict.enabled);
  EXPECT_TRUE(verdict.ask_agent) << "it may fall silent";
  EXPECT_FALSE(verdict.custom_network);
  EXPECT_EQ(verdict.reason, "");
}

TEST(JudgeNode, EachThingThatIsMissingHasItsReason) {
  const auto reason = [](const NodeVerdict& verdict) {
    EXPECT_FALSE(verdict.enabled);
    EXPECT_FALSE(verdict.message.empty());
    return verdict.reason;
  };
  EXPECT_EQ(reason(judge_node(node(), {}, answering)), "NotEnabled");
  EXPECT_EQ(reason(judge_node(node(), {pool("others", true)}, answering)), "NotEnabled");
  EXPECT_EQ(reason(judge_node(node(), {pool("apps", false)}, answering)), "NotEnabled");
  const json not_ready = node(R"({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})");
  EXPECT_EQ(reason(judge_node(not_ready, {pool("apps", true)}, answering)), "NotReady");
  EXPECT_FALSE(judge_node(not_ready, {pool("apps", true)}, answering).ask_agent);
  EXPECT_EQ(reason(judge_node(node(R"({"status": {"addresses": []}})"), {pool("apps", true)}, answering)), "NoAddress");
  EXPECT_EQ(reason(judge_node(node(), {pool("apps", true)}, std::nullopt)), "AgentNotAsked");
  EXPECT_TRUE(judge_node(node(), {pool("apps", true)}, std::nullopt).ask_agent);
  EXPECT_EQ(reason(judge_node(node(), {pool("apps", true)}, silent)), "AgentSilent");
  EXPECT_THAT(judge_node(node(), {pool("apps", true)}, silent).message, HasSubstr("connection refused"));
}

TEST(JudgeNode, OneEnabledTemplateOfSeveralIsEnough) {
  EXPECT_TRUE(judge_node(node(), {pool("apps", false), pool("apps", true)}, answering).enabled);
}

TEST(JudgeNode, CustomNetworkDoesNotDependOnLiveMigration) {
  const NodeVerdict verdict = judge_node(node(), {pool("apps", false, true)}, std::nullopt);
  EXPECT_FALSE(verdict.enabled);
  EXPECT_TRUE(verdict.custom_network);
  EXPECT_FALSE(judge_node(node(), {pool("others", true, true)}, answering).custom_network);
}

JudgedNode good(const std::string& name) {
  return {.name = name, .verdict = {.enabled = true, .ask_agent = true, .reason = "", .message = ""}};
}
JudgedNode bad(const std::string& name) {
  return {.name = name, .verdict = {.reason = "NotReady", .message = "the node is not Ready"}};
}

TEST(JudgeTemplate, IsReadyIfAllItsNodesSupportLiveMigration) {
  const TemplateVerdict verdict = judge_template(pool("apps", true), {good("a"), good("b")});
  EXPECT_EQ(verdict.status.nodes, 2);
  EXPECT_EQ(verdict.status.enabled_nodes, 2);
  EXPECT_TRUE(verdict.status.refused.empty());
  EXPECT_EQ(verdict.ready.status, "True");
  EXPECT_EQ(verdict.ready.reason, "AllNodesReady");
}

TEST(JudgeTemplate, SaysWhichNodesAreRefusedAndWhy) {
  const TemplateVerdict verdict = judge_template(pool("apps", true), {good("a"), bad("b"), bad("c")});
  EXPECT_EQ(verdict.status.nodes, 3);
  EXPECT_EQ(verdict.status.enabled_nodes, 1);
  ASSERT_EQ(verdict.status.refused.size(), 2U);
  EXPECT_EQ(verdict.status.refused[0].name, "b");
  EXPECT_EQ(verdict.status.refused[0].reason, "NotReady");
  EXPECT_EQ(verdict.ready.status, "False");
  EXPECT_EQ(verdict.ready.reason, "NodesRefused");
  EXPECT_THAT(verdict.ready.message, HasSubstr("2 of 3 nodes do not support live migration, e.g. b:"));
}

TEST(JudgeTemplate, CountsMoreRefusedNodesThanItNames) {
  std::vector<JudgedNode> many;
  for (int i = 0; i < 70; ++i) many.push_back(bad(std::to_string(i)));
  const TemplateVerdict verdict = judge_template(pool("apps", true), many);
  EXPECT_EQ(verdict.status.refused.size(), api::refused_max);
  EXPECT_THAT(verdict.ready.message, HasSubstr("70 of 70"));
}

TEST(JudgeTemplate, OneThatIsNotEnabledRefusesNobody) {
  const TemplateVerdict verdict = judge_template(pool("apps", false), {good("a"), bad("b")});
  EXPECT_EQ(verdict.status.nodes, 2);
  EXPECT_EQ(verdict.status.enabled_nodes, 1) << "by another template";
  EXPECT_TRUE(verdict.status.refused.empty());
  EXPECT_EQ(verdict.ready.reason, "NotEnabled");
  EXPECT_EQ(judge_template(pool("apps", true), {}).ready.reason, "NoNodes");
}

// Null: no patch.
json change(const char* labels, bool wanted) {
  const json object = {{"metadata", {{"uid", "u1"}, {"labels", json::parse(labels)}}}};
  return label_patch(object, {{"x", wanted}}).value_or(json());
}

TEST(LabelPatch, ChangesOnlyWhatIsNotAsItShouldBe) {
  EXPECT_EQ(change("{}", true), json::parse(R"({"metadata": {"uid": "u1", "labels": {"x": "true"}}})"));
  EXPECT_EQ(change(R"({"x": "false", "y": "1"})", true),
            json::parse(R"({"metadata": {"uid": "u1", "labels": {"x": "true"}}})"));
  EXPECT_EQ(change(R"({"x": "true"})", false), json::parse(R"({"metadata": {"uid": "u1", "labels": {"x": null}}})"));
  EXPECT_EQ(change(R"({"x": "true"})", true), json());
  EXPECT_EQ(change(R"({"y": "true"})", false), json());
  EXPECT_FALSE(label_patch(json::parse(R"({"metadata": {"uid": "u1"}})"), {{"x", false}}).has_value());
}

}  // namespace
}  // namespace godwit::controller
