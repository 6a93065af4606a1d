#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "api/conditions.h"
#include "api/merge_patch.h"
#include "api/names.h"
#include "api/node_template.h"
#include "kube/json_path.h"
#include "manifests.h"
#include "objects.h"

namespace godwit::api {
namespace {

using kube::ObjectPath;
using kube::soon;
using nlohmann::json;
using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

struct NodeTemplatesTest : testing::Test {
  kube::Client client{kube::control_plane().access()};

  static void SetUpTestSuite() { install_definitions(); }
  static json node_template(const std::string& name, const json& selector) {
    return {{"apiVersion", "live.cast.ai/v1"},
            {"kind", "NodeTemplate"},
            {"metadata", {{"name", name}}},
            {"spec", {{"nodeSelector", selector}}}};
  }
  std::string objection_to(const char* selector) {
    return objection(client, node_templates,
                     node_template(fmt::format("selector-{}", number_++), json::parse(selector)));
  }
  int number_ = 0;
};

TEST_F(NodeTemplatesTest, OneThatSaysNothingIsNotEnabled) {
  ASSERT_EQ(objection(client, node_templates, node_template("plain", {{"matchLabels", {{"pool", "a"}}}})), "accepted");
  const json made = client.get({node_templates, "", "plain", ""}, soon()).value();
  EXPECT_EQ(made["spec"], json::parse(R"({"nodeSelector":{"matchLabels":{"pool":"a"}},"customNetwork":false,
      "liveMigration":{"enabled":false}})"));
  const auto spec = read_node_template_spec(made);
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_FALSE(spec->live_migration_enabled);
}

TEST_F(NodeTemplatesTest, ASelectorOfEverythingIsRefused) {
  const char* expected = "nodeSelector must name at least one label";
  EXPECT_THAT(objection_to("{}"), HasSubstr(expected));
  EXPECT_THAT(objection_to(R"({"matchLabels":{}})"), HasSubstr(expected));
  EXPECT_THAT(objection_to(R"({"matchExpressions":[]})"), HasSubstr(expected));
  json without = node_template("without", nullptr);
  without["spec"].erase("nodeSelector");
  EXPECT_THAT(objection(client, node_templates, without), HasSubstr("spec.nodeSelector: Required value"));
}

TEST_F(NodeTemplatesTest, ARequirementThatMakesNoSenseIsRefused) {
  EXPECT_THAT(objection_to(R"({"matchExpressions":[{"key":"a","operator":"In"}]})"),
              HasSubstr("In and NotIn need values"));
  EXPECT_THAT(objection_to(R"({"matchExpressions":[{"key":"a","operator":"Exists","values":["b"]}]})"),
              HasSubstr("Exists and DoesNotExist have none"));
  EXPECT_THAT(objection_to(R"({"matchExpressions":[{"key":"a","operator":"Gt","values":["1"]}]})"),
              HasSubstr("supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\""));
  EXPECT_EQ(objection_to(R"({"matchExpressions":[{"key":"a","operator":"In","values":["b"]},
                                                 {"key":"c","operator":"DoesNotExist"}]})"),
            "accepted");
}

TEST_F(NodeTemplatesTest, ColumnsSayHowManyNodesTakePartAndWhyNotAll) {
  json object = node_template("columns", {{"matchLabels", {{"pool", "a"}}}});
  object["spec"]["liveMigration"]["enabled"] = true;
  ASSERT_EQ(objection(client, node_templates, object), "accepted");
  const json before = client.get({node_templates, "", "columns", ""}, soon()).value();
  json after = before;
  write_node_template_status(after, {.observed_generation = 1,
                                     .nodes = 3,
                                     .enabled_nodes = 2,
                                     .refused = {{"node-3", "KernelTooOld", "needs Linux 6.7 or newer"}}});
  set_condition(after["status"], {.type = "Ready", .status = "False", .reason = "NodesRefused", .message = "1 of 3"},
                std::chrono::system_clock::now());
  const ObjectPath status{node_templates, "", "columns", "status"};
  ASSERT_EQ(objection_to_change(client, status, merge_patch_between(before, after)), "accepted");
  const std::string shown = kubectl({"get", "ntpl", "columns"});
  EXPECT_THAT(shown, ContainsRegex("NAME +ENABLED +NODES +READY +REASON +AGE"));
  EXPECT_THAT(shown, ContainsRegex("columns +true +3 +2 +NodesRefused"));
  EXPECT_EQ(read_node_template_status(client.get({node_templates, "", "columns", ""}, soon()).value()).refused.size(),
            1U);
}

TEST_F(NodeTemplatesTest, KubectlExplainsIt) {
  EXPECT_THAT(kubectl({"explain", "nodetemplate.spec"}),
              AllOf(HasSubstr("The nodes that it is about, by their labels"), HasSubstr("dedicated pod subnets")));
  for (const char* part : {"nodetemplate.spec", "nodetemplate.spec.liveMigration", "nodetemplate.status.refused"}) {
    EXPECT_THAT(kubectl({"explain", part}), testing::Not(HasSubstr("<no description>"))) << part;
  }
}

}  // namespace
}  // namespace godwit::api
