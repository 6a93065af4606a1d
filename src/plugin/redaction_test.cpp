#include "plugin/redaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::plugin {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// "s3cret" stands wherever somebody may have written a password.
const json pod = json::parse(R"({
  "apiVersion": "v1", "kind": "Pod",
  "metadata": {"name": "web", "namespace": "shop", "uid": "u", "labels": {"app": "web"},
    "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"env\": \"s3cret\"}", "vault": "s3cret",
                    "cast.ai/restore": "session"},
    "managedFields": [{"manager": "s3cret"}]},
  "spec": {
    "nodeName": "node-1", "runtimeClassName": "live", "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["s3cret"]}],
    "containers": [{
      "name": "web", "image": "web:1", "command": ["web", "--password=s3cret"], "args": ["s3cret"],
      "env": [{"name": "PASSWORD", "value": "s3cret"},
              {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tokens", "key": "web"}}}],
      "livenessProbe": {"exec": {"command": ["check", "s3cret"]}, "periodSeconds": 5},
      "readinessProbe": {"httpGet": {"port": 80, "path": "/s3cret", "httpHeaders": [{"value": "s3cret"}]}},
      "lifecycle": {"postStart": {"exec": {"command": ["s3cret"]}}},
      "resources": {"requests": {"memory": "1Gi"}}, "volumeMounts": [{"name": "data", "mountPath": "/data"}],
      "fieldOfTheFuture": "s3cret"}],
    "initContainers": [{"name": "once", "args": ["s3cret"]}],
    "ephemeralContainers": [{"name": "debug", "command": ["s3cret"]}],
    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "keys", "secret": {"secretName": "keys"}},
                {"name": "old", "flexVolume": {"driver": "d", "options": {"password": "s3cret"}}},
                {"name": "csi", "csi": {"driver": "d", "volumeAttributes": {"key": "s3cret"}}}]},
  "status": {"phase": "Running", "podIP": "10.0.0.9",
    "containerStatuses": [{"name": "web", "restartCount": 3,
      "state": {"running": {"startedAt": "2024-05-01T12:00:00Z"}},
      "lastState": {"terminated": {"exitCode": 1, "message": "s3cret"}}}]}
})");

TEST(Redaction, OfAPodNothingStaysThatMayHoldAPassword) {
  EXPECT_THAT(redact(pod).dump(), Not(HasSubstr("s3cret")));
}

TEST(Redaction, OfAPodStaysWhatABugReportNeeds) {
  const json kept = redact(pod);
  EXPECT_EQ(kept["metadata"]["name"], "web");
  EXPECT_EQ(kept["metadata"]["labels"]["app"], "web");
  EXPECT_EQ(kept["metadata"]["annotations"]["cast.ai/restore"], "session");
  EXPECT_EQ(kept["metadata"]["annotations"]["vault"], removed);
  EXPECT_EQ(kept["spec"]["nodeName"], "node-1");
  const json& container = kept["spec"]["containers"][0];
  EXPECT_EQ(container["env"][0], (json{{"name", "PASSWORD"}, {"value", removed}}));
  EXPECT_EQ(container["env"][1], pod["spec"]["containers"][0]["env"][1]) << "where it comes from is no secret";
  EXPECT_EQ(container["resources"], pod["spec"]["containers"][0]["resources"]);
  EXPECT_EQ(container["livenessProbe"], json::parse(R"({"exec": {}, "periodSeconds": 5})"));
  EXPECT_EQ(container["readinessProbe"]["httpGet"]["port"], 80);
  EXPECT_EQ(kept["spec"]["volumes"][1]["secret"]["secretName"], "keys");
  EXPECT_EQ(kept["spec"]["volumes"][2]["flexVolume"], removed);
  EXPECT_EQ(kept["status"]["containerStatuses"][0]["restartCount"], 3);
  EXPECT_EQ(kept["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 1);
}

TEST(Redaction, OfEverythingElseMetadataIsCleaned) {
  const json migration = {{"kind", "Migration"},
                          {"metadata", {{"name", "m"}, {"annotations", {{"a", "s3cret"}}}, {"managedFields", {"x"}}}},
                          {"spec", {{"podName", "web"}}}};
  EXPECT_EQ(redact(migration), (json{{"kind", "Migration"},
                                     {"metadata", {{"name", "m"}, {"annotations", {{"a", removed}}}}},
                                     {"spec", {{"podName", "web"}}}}));
}

TEST(Redaction, ProbesOutputIsNotInEvents) {
  const json probe = {{"kind", "Event"}, {"reason", "Unhealthy"}, {"note", "Readiness probe failed: s3cret"}};
  EXPECT_EQ(redact(probe)["note"], removed);
  const json own = {{"kind", "Event"}, {"reason", "PreDumpFinished"}, {"note", "iteration 1"}};
  EXPECT_EQ(redact(own)["note"], "iteration 1");
}

}  // namespace
}  // namespace godwit::plugin
