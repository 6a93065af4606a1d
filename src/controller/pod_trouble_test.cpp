#include "controller/pod_trouble.h"

#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;

json waiting_for(const std::string& reason, const std::string& message) {
  return {{"status",
           {{"phase", "Pending"},
            {"containerStatuses", {{{"state", {{"waiting", {{"reason", reason}, {"message", message}}}}}}}}}}};
}

TEST(PodTrouble, AKubeletsRefusalIsInItsWords) {
  EXPECT_EQ(refusal_of(json::parse(R"({"status": {"phase": "Failed", "reason": "OutOfcpu", "message": "full"}})")),
            "OutOfcpu: full");
  EXPECT_EQ(refusal_of(waiting_for("CreateContainerConfigError", "configmap \"x\" not found")),
            "CreateContainerConfigError: configmap \"x\" not found");
}

TEST(PodTrouble, NothingArrivesInADeletedPod) {
  EXPECT_EQ(refusal_of(json()), "it was deleted there");
  EXPECT_EQ(refusal_of(json::parse(R"({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})")),
            "it was deleted there");
}

TEST(PodTrouble, APodThatIsStillMadeIsNotRefused) {
  EXPECT_EQ(refusal_of(json::object()), std::nullopt);
  EXPECT_EQ(refusal_of(waiting_for("ContainerCreating", "")), std::nullopt);
  EXPECT_EQ(trouble_of(waiting_for("ContainerCreating", "")), "ContainerCreating");
  EXPECT_EQ(trouble_of(json::object()), "its kubelet has not taken it");
}

json node_that_is(const std::string& ready, const json& taints = json::array()) {
  return {{"spec", {{"taints", taints}}}, {"status", {{"conditions", {{{"type", "Ready"}, {"status", ready}}}}}}};
}

TEST(PodTrouble, APodIsLostWithANodeThatIsGoneOrOutOfService) {
  const json pod = json::parse(R"({"metadata": {"name": "cache"}})");
  EXPECT_EQ(loss_of(pod, node_that_is("True")), std::nullopt);
  EXPECT_EQ(loss_of(pod, json()), "its node is gone from the cluster");
  const json taint = {{"key", "node.kubernetes.io/out-of-service"}, {"effect", "NoExecute"}};
  EXPECT_EQ(loss_of(pod, node_that_is("Unknown", json::array({taint}))), "its node is said to be out of service");
}

TEST(PodTrouble, ASilentNodesPodIsLostWhenTheClusterGivesItUp) {
  const json pod = json::parse(R"({"metadata": {"name": "cache"}})");
  const json deleted = json::parse(R"({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}})");
  EXPECT_EQ(loss_of(pod, node_that_is("Unknown")), std::nullopt) << "it may come back";
  EXPECT_NE(loss_of(deleted, node_that_is("Unknown")), std::nullopt);
  EXPECT_NE(loss_of(json(), node_that_is("Unknown")), std::nullopt);
  EXPECT_EQ(loss_of(deleted, node_that_is("True")), std::nullopt) << "its kubelet ends it and says so";
  EXPECT_EQ(loss_of(json(), node_that_is("True")), std::nullopt);
}

}  // namespace
}  // namespace godwit::controller
