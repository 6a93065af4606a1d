#include "controller/endpoint_bridge.h"

#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;

json slice(const std::string& name, const json& labels, const json& endpoints) {
  return {{"metadata", {{"name", name}, {"namespace", "shop"}, {"labels", labels}}},
          {"addressType", "IPv4"},
          {"ports", {{{"port", 5432}, {"protocol", "TCP"}}}},
          {"endpoints", endpoints}};
}

json endpoint(const std::string& address, const std::string& uid, bool ready) {
  return {{"addresses", {address}},
          {"conditions", {{"ready", ready}}},
          {"nodeName", "node-1"},
          {"targetRef", {{"kind", "Pod"}, {"name", "db-0"}, {"uid", uid}}}};
}

const json of_service = {{"kubernetes.io/service-name", "db"},
                         {"endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"}};

TEST(BridgingSlices, KeepTheAddressOfThatPodAlone) {
  const auto bridges = bridging_slices(
      {slice("db-x", of_service, {endpoint("10.0.0.1", "u1", true), endpoint("10.0.0.2", "u2", true)})}, "db-0", "u1");
  ASSERT_EQ(bridges.size(), 1U);
  const json& bridge = bridges[0];
  EXPECT_EQ(bridge["metadata"]["labels"]["kubernetes.io/service-name"], "db");
  EXPECT_NE(bridge["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"],
            of_service["endpointslice.kubernetes.io/managed-by"])
      << "or Kubernetes would take it away";
  ASSERT_EQ(bridge["endpoints"].size(), 1U);
  EXPECT_EQ(bridge["endpoints"][0]["addresses"][0], "10.0.0.1");
  EXPECT_FALSE(bridge["endpoints"][0].contains("targetRef")) << "that object is about to go";
  EXPECT_EQ(bridge["ports"][0]["port"], 5432);
}

TEST(BridgingSlices, NobodyIsSentToAPodThatWasNotReady) {
  EXPECT_TRUE(
      bridging_slices({slice("db-x", of_service, json::array({endpoint("10.0.0.1", "u1", false)}))}, "db-0", "u1")
          .empty());
}

TEST(BridgingSlices, AreNotMadeOfEachOther) {
  const auto first =
      bridging_slices({slice("db-x", of_service, json::array({endpoint("10.0.0.1", "u1", true)}))}, "db-0", "u1");
  EXPECT_TRUE(bridging_slices(first, "db-0", "u1").empty());
}

TEST(BridgeIsNeeded, UntilKubernetesHasTheNewPodAsReady) {
  std::vector<json> slices =
      bridging_slices({slice("db-x", of_service, json::array({endpoint("10.0.0.1", "u1", true)}))}, "db-0", "u1");
  EXPECT_TRUE(bridge_is_needed(slices, "db-0")) << "there is nothing else";
  slices.push_back(slice("db-x", of_service, json::array({endpoint("10.0.0.1", "u2", false)})));
  EXPECT_TRUE(bridge_is_needed(slices, "db-0"));
  slices.back() = slice("db-x", of_service, json::array({endpoint("10.0.0.1", "u2", true)}));
  EXPECT_FALSE(bridge_is_needed(slices, "db-0"));
  EXPECT_FALSE(bridge_is_needed(slices, "db-1")) << "none was made for it";
}

TEST(BridgingSlices, SlicesOfNoServiceAreNobodysConcern) {
  EXPECT_TRUE(
      bridging_slices({slice("x", json::object(), json::array({endpoint("10.0.0.1", "u1", true)}))}, "db-0", "u1")
          .empty());
}

}  // namespace
}  // namespace godwit::controller
