#include "controller/destination_choice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

NodeTraits enabled(const std::string& architecture = "amd64", bool custom_network = false) {
  return {.obstacles = {}, .architecture = architecture, .custom_network = custom_network};
}

TEST(DestinationObstacles, ANodeMustBeLikeTheSourceAndNotCordoned) {
  const json pod = {{"metadata", {{"name", "web"}}}, {"spec", {{"nodeSelector", {{"disk", "ssd"}}}}}};
  json node = json::parse(R"({
    "metadata": {"name": "b", "labels": {"live.cast.ai/migration-enabled": "true", "kubernetes.io/arch": "amd64", "disk": "ssd"}},
    "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
               "conditions": [{"type": "Ready", "status": "True"}]}})");
  EXPECT_THAT(destination_obstacles(pod, node, enabled(), false), IsEmpty());
  EXPECT_THAT(destination_obstacles(pod, node, enabled("arm64"), false),
              ElementsAre(HasSubstr("another CPU architecture")));
  EXPECT_THAT(destination_obstacles(pod, node, enabled("amd64", true), false),
              ElementsAre(HasSubstr("custom-network")));
  node["metadata"]["labels"]["disk"] = "tape";
  EXPECT_THAT(destination_obstacles(pod, node, enabled(), false), testing::SizeIs(1)) << "where the pod may not be";
  node["metadata"]["labels"]["disk"] = "ssd";
  node["spec"]["unschedulable"] = true;
  EXPECT_THAT(destination_obstacles(pod, node, enabled(), false), ElementsAre("node b is cordoned"));
  EXPECT_THAT(destination_obstacles(pod, node, enabled(), true), IsEmpty()) << "somebody asked for it by name";
  node["metadata"]["labels"].erase("live.cast.ai/migration-enabled");
  EXPECT_THAT(destination_obstacles(pod, node, enabled(), true), ElementsAre(HasSubstr("not enabled")));
}

}  // namespace
}  // namespace godwit::controller
