#include "api/node_template.h"

#include <gtest/gtest.h>

#include "api/label_selector.h"

namespace godwit::api {
namespace {

using nlohmann::json;

TEST(LabelSelector, EveryOperatorMeansWhatKubernetesMeans) {
  const json labels = {{"zone", "a"}, {"gpu", ""}};
  const auto met = [&](const char* selector) { return selects(json::parse(selector), labels).value(); };
  EXPECT_TRUE(met("{}"));
  EXPECT_TRUE(met(R"({"matchLabels":{"zone":"a"}})"));
  EXPECT_FALSE(met(R"({"matchLabels":{"zone":"b"}})"));
  EXPECT_FALSE(met(R"({"matchLabels":{"zone":"a","other":""}})")) << "absent is not empty";
  EXPECT_TRUE(met(R"({"matchExpressions":[{"key":"zone","operator":"In","values":["a","b"]}]})"));
  EXPECT_FALSE(met(R"({"matchExpressions":[{"key":"other","operator":"In","values":["a"]}]})"));
  EXPECT_TRUE(met(R"({"matchExpressions":[{"key":"zone","operator":"NotIn","values":["b"]}]})"));
  EXPECT_TRUE(met(R"({"matchExpressions":[{"key":"other","operator":"NotIn","values":["b"]}]})"));
  EXPECT_TRUE(met(R"({"matchExpressions":[{"key":"gpu","operator":"Exists"}]})"));
  EXPECT_FALSE(met(R"({"matchExpressions":[{"key":"gpu","operator":"DoesNotExist"}]})"));
  EXPECT_FALSE(met(R"({"matchLabels":{"zone":"a"},"matchExpressions":[{"key":"gpu","operator":"DoesNotExist"}]})"));
  EXPECT_FALSE(selects(json::parse(R"({"matchLabels":{"zone":"a"}})"), nullptr).value()) << "a node without labels";
  EXPECT_FALSE(selects(json::parse(R"({"matchExpressions":[{"key":"a","operator":"Gt"}]})"), labels).has_value());
}

TEST(NodeTemplate, IsReadAndIncludesItsNodes) {
  const auto spec = read_node_template_spec(
      json::parse(R"({"spec":{"nodeSelector":{"matchLabels":{"pool":"apps"}},"liveMigration":{"enabled":true}}})"));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_TRUE(spec->live_migration_enabled);
  EXPECT_FALSE(spec->custom_network);
  EXPECT_TRUE(includes(*spec, json::parse(R"({"metadata":{"labels":{"pool":"apps"}}})")).value());
  EXPECT_FALSE(includes(*spec, json::parse(R"({"metadata":{}})")).value());
}

TEST(NodeTemplate, WithoutSelectorItIsRefused) {
  EXPECT_FALSE(read_node_template_spec(json::parse(R"({"spec":{}})")).has_value());
  EXPECT_FALSE(read_node_template_spec(json::parse(R"({"spec":{"nodeSelector":{}}})")).has_value());
}

TEST(NodeTemplate, ItsStatusKeepsFieldsOfOthersAndIsBounded) {
  json object = json::parse(R"({"status":{"newField":1,"conditions":[{"type":"Ready"}]}})");
  NodeTemplateStatus status{.observed_generation = 2, .nodes = 100, .enabled_nodes = 20};
  for (int i = 0; i < 80; ++i) status.refused.push_back({fmt::format("node-{}", i), "NoAgent", "no agent runs there"});
  write_node_template_status(object, status);
  EXPECT_EQ(object["status"]["newField"], 1);
  EXPECT_EQ(object["status"]["conditions"].size(), 1U);
  EXPECT_EQ(object["status"]["refused"].size(), refused_max);
  const NodeTemplateStatus read = read_node_template_status(object);
  EXPECT_EQ(read.nodes, 100);
  EXPECT_EQ(read.enabled_nodes, 20);
  EXPECT_EQ(read.refused[0].message, "no agent runs there");
}

}  // namespace
}  // namespace godwit::api
