#include "controller/pod_assessor.h"

#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;

json pod() {
  return json::parse(R"({
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
                 "labels": {"app": "web", "live.cast.ai/migration-enabled": "true"}},
    "spec": {"nodeName": "node-1", "runtimeClassName": "live", "containers": [{"name": "web", "image": "i", "env": [{"name": "a", "value": "b"}]}]},
    "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.5"}], "containerStatuses": [{"name": "web", "state": {"running": {}}}]}
  })");
}

TEST(SummarizePod, KeepsWhatItsAssessmentNeedsAndNothingElse) {
  json summary = pod();
  summarize_pod(summary);
  EXPECT_TRUE(is_movable(summary));
  EXPECT_EQ(summary, json::parse(R"({
    "metadata": {"name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7",
                 "labels": {"live.cast.ai/migration-enabled": "true"}},
    "spec": {"nodeName": "node-1"}, "addresses": ["10.0.0.5"], "movable": true})"));
}

TEST(SummarizePod, KeepsWhatThePodAsksOfItsNodeAndItsClaims) {
  json summary = pod();
  summary["spec"].update(json::parse(R"({
    "nodeSelector": {"disk": "ssd"}, "schedulerName": "default-scheduler",
    "affinity": {"podAntiAffinity": {}, "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [],
      "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": []}]}}},
    "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
                    {"key": "own", "operator": "Exists"}],
    "volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": "data"}}]})"));
  summarize_pod(summary);
  EXPECT_EQ(summary["spec"], json::parse(R"({
    "nodeName": "node-1", "nodeSelector": {"disk": "ssd"}, "tolerations": [{"key": "own", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {
      "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": []}]}}}})"));
  EXPECT_EQ(claim_keys_of(summary), std::vector<std::string>{"shop/data"});
}

TEST(SummarizePod, APodThatHasEndedHasNoAddress) {
  json ended = pod();
  ended["status"]["phase"] = "Succeeded";
  summarize_pod(ended);
  EXPECT_FALSE(ended.contains("addresses"));
}

TEST(SummarizePod, KnowsWhatThePodItselfLacks) {
  json summary = pod();
  summary["spec"]["hostNetwork"] = true;
  summarize_pod(summary);
  EXPECT_FALSE(is_movable(summary));
  json waiting = {{"metadata", {{"name", "w"}, {"namespace", "n"}, {"uid", "u"}}},
                  {"spec", {{"containers", {{{"name", "w"}}}}}},
                  {"status", {{"phase", "Pending"}}}};
  summarize_pod(waiting);
  EXPECT_FALSE(is_movable(waiting));
  EXPECT_FALSE(waiting.contains("spec")) << "it is on no node";
  EXPECT_FALSE(waiting["metadata"].contains("labels"));
}

}  // namespace
}  // namespace godwit::controller
