#include "controller/clone_pod.h"

#include <gtest/gtest.h>

#include "api/names.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

json pod() {
  return json::parse(R"({
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {
      "name": "web-7d4b-abc", "namespace": "shop", "uid": "u1", "resourceVersion": "9",
      "labels": {"app": "web", "pod-template-hash": "7d4b", "live.cast.ai/migration-enabled": "true"},
      "annotations": {"note": "kept", "controller.kubernetes.io/pod-deletion-cost": "5"},
      "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d4b", "controller": true}],
      "finalizers": ["x"]
    },
    "spec": {
      "nodeName": "node-1",
      "schedulingGates": [{"name": "g"}],
      "ephemeralContainers": [{"name": "debugger"}],
      "initContainers": [
        {"name": "migrate-schema"},
        {"name": "proxy", "restartPolicy": "Always", "startupProbe": {"exec": {}}},
        {"name": "warm-up"}
      ],
      "containers": [
        {"name": "web", "lifecycle": {"postStart": {"exec": {}}, "preStop": {"exec": {}}}, "startupProbe": {"exec": {}},
         "livenessProbe": {"exec": {}}},
        {"name": "helper", "lifecycle": {"postStart": {"httpGet": {}}}, "startupProbe": {"exec": {}}}
      ]
    },
    "status": {"phase": "Running", "podIP": "10.0.0.9"}
  })");
}

json clone_of(const json& source) {
  return make_clone(source,
                    {.node = "node-2", .session = "5e55", .without_labels = json{{"pod-template-hash", "7d4b"}}});
}

TEST(CloneName, CountsUp) {
  EXPECT_EQ(clone_name("my-app-7d4b8c9-abc12"), "my-app-7d4b8c9-abc12-clone-1");
  EXPECT_EQ(clone_name("x-clone-1"), "x-clone-2");
  EXPECT_EQ(clone_name("x-clone-9"), "x-clone-10");
}

TEST(CloneName, WhatOnlyLooksLikeANumberIsPartOfTheName) {
  EXPECT_EQ(clone_name("x-clone-"), "x-clone--clone-1");
  EXPECT_EQ(clone_name("x-clone-1a"), "x-clone-1a-clone-1");
  EXPECT_EQ(clone_name("x-clone-99999999999"), "x-clone-99999999999-clone-1") << "more than a number can hold";
  EXPECT_EQ(clone_name("clone-3"), "clone-3-clone-1");
}

TEST(OwnerLabels, AReplicaSetSelectsByItsHash) {
  const json owner = {{"spec", {{"selector", {{"matchLabels", {{"app", "web"}, {"pod-template-hash", "7d4b"}}}}}}}};
  EXPECT_EQ(owner_labels(pod(), owner), json({{"pod-template-hash", "7d4b"}})) << "so that Services still find the pod";
}

TEST(OwnerLabels, AnOwnerWithoutALabelOfItsOwnSelectsByAllOfItsSelector) {
  json bare = pod();
  bare["metadata"]["labels"].erase("pod-template-hash");
  const json owner = {{"spec", {{"selector", {{"matchLabels", {{"app", "web"}}}}}}}};
  EXPECT_EQ(owner_labels(bare, owner), json({{"app", "web"}}));
}

TEST(OwnerLabels, APodWithoutOwnerKeepsAllItsLabels) {
  EXPECT_EQ(owner_labels(pod(), json()), json::object());
}

TEST(MakeClone, IsAnotherPodOfTheSameKindOnTheDestination) {
  const json clone = clone_of(pod());
  EXPECT_EQ(clone["metadata"]["name"], "web-7d4b-abc-clone-1");
  EXPECT_EQ(clone["metadata"]["namespace"], "shop");
  EXPECT_EQ(clone["spec"]["nodeName"], "node-2");
  EXPECT_EQ(clone["metadata"]["labels"]["app"], "web") << "its Services go on finding it";
  EXPECT_FALSE(clone["metadata"]["labels"].contains("pod-template-hash")) << "its owner must not count it yet";
  for (const char* foreign : {"uid", "resourceVersion", "ownerReferences", "finalizers"}) {
    EXPECT_FALSE(clone["metadata"].contains(foreign)) << foreign;
  }
  EXPECT_FALSE(clone.contains("status"));
  for (const char* foreign : {"schedulingGates", "ephemeralContainers"}) {
    EXPECT_FALSE(clone["spec"].contains(foreign)) << foreign;
  }
}

TEST(MakeClone, NamesItsSessionAndKeepsTheUsersAnnotations) {
  const json annotations = clone_of(pod())["metadata"]["annotations"];
  EXPECT_EQ(annotations[api::annotations::restore], "5e55");
  EXPECT_EQ(annotations["note"], "kept");
  EXPECT_FALSE(annotations.contains(deletion_cost_annotation)) << "it would be the first to be deleted";
}

TEST(MakeClone, ProgramsKeepTheirHostName) {
  EXPECT_EQ(clone_of(pod())["spec"]["hostname"], "web-7d4b-abc");
  json moved = pod();
  moved["metadata"]["name"] = "web-7d4b-abc-clone-4";
  EXPECT_EQ(clone_of(moved)["spec"]["hostname"], "web-7d4b-abc");
  moved["spec"]["hostname"] = "mail";
  EXPECT_EQ(clone_of(moved)["spec"]["hostname"], "mail");
}

TEST(MakeClone, RunsNothingAgainThatHasRun) {
  const json spec = clone_of(pod())["spec"];
  ASSERT_EQ(spec["initContainers"].size(), 1U);
  EXPECT_EQ(spec["initContainers"][0]["name"], "proxy") << "a sidecar runs, and so moves";
  EXPECT_FALSE(spec["initContainers"][0].contains("startupProbe"));
  EXPECT_FALSE(spec["containers"][0]["lifecycle"].contains("postStart"));
  EXPECT_TRUE(spec["containers"][0]["lifecycle"].contains("preStop"));
  EXPECT_FALSE(spec["containers"][0].contains("startupProbe"));
  EXPECT_TRUE(spec["containers"][0].contains("livenessProbe"));
  EXPECT_FALSE(spec["containers"][1].contains("lifecycle"));
}

TEST(MakeClone, WhatAnnotationsAskForRunsAgain) {
  json asked = pod();
  json& annotations = asked["metadata"]["annotations"];
  annotations[api::annotations::run_init_containers] = " warm-up , proxy,web";
  annotations[api::annotations::run_post_start_exec] = "web,helper";
  annotations[api::annotations::run_startup_probe] = "helper";
  const json spec = clone_of(asked)["spec"];
  ASSERT_EQ(spec["initContainers"].size(), 2U);
  EXPECT_EQ(spec["initContainers"][0]["name"], "proxy");
  EXPECT_EQ(spec["initContainers"][1]["name"], "warm-up");
  EXPECT_EQ(clone_of(asked)["metadata"]["annotations"][api::annotations::run_init_containers], "warm-up")
      << "containers that move must not begin anew";
  EXPECT_TRUE(spec["containers"][0]["lifecycle"].contains("postStart"));
  EXPECT_FALSE(spec["containers"][1].contains("lifecycle")) << "only hooks that are programs can be run there";
  EXPECT_FALSE(spec["containers"][0].contains("startupProbe"));
  EXPECT_TRUE(spec["containers"][1].contains("startupProbe"));
}

TEST(MakeClone, WithoutItsStartupProbeTheLivenessProbeWaitsAsLong) {
  json slow = pod();
  slow["spec"]["containers"][0]["startupProbe"] = {{"failureThreshold", 30}, {"periodSeconds", 5}};
  slow["spec"]["containers"][0]["livenessProbe"] = {{"initialDelaySeconds", 7}};
  const json clone = clone_of(slow);
  EXPECT_EQ(clone["spec"]["containers"][0]["livenessProbe"]["initialDelaySeconds"], 157);
  EXPECT_EQ(clone_of(clone)["spec"]["containers"][0]["livenessProbe"]["initialDelaySeconds"], 157)
      << "not more with each move";
  EXPECT_FALSE(clone["spec"]["containers"][1].contains("livenessProbe"));
  slow["metadata"]["annotations"][api::annotations::run_startup_probe] = "web";
  EXPECT_EQ(clone_of(slow)["spec"]["containers"][0]["livenessProbe"]["initialDelaySeconds"], 7) << "it runs there";
}

TEST(MakeClone, HasTheVeryImagesThatRun) {
  json running = pod();
  running["spec"]["containers"][0]["image"] = "redis:8";
  running["spec"]["containers"][1]["image"] = "godwit.test/tiny:1";
  running["status"]["containerStatuses"] = {{{"name", "helper"}, {"imageID", "sha256:0011"}},
                                            {{"name", "web"}, {"imageID", "docker.io/library/redis@sha256:00aa"}}};
  running["status"]["initContainerStatuses"] =
      json::array({json{{"name", "proxy"}, {"imageID", "mirror.example/envoy@sha256:00bb"}}});
  running["spec"]["initContainers"][1]["image"] = "envoy";
  const json spec = clone_of(running)["spec"];
  EXPECT_EQ(spec["containers"][0]["image"], "docker.io/library/redis@sha256:00aa");
  EXPECT_EQ(spec["containers"][1]["image"], "godwit.test/tiny:1") << "no other node can pull it by that";
  EXPECT_EQ(spec["initContainers"][0]["image"], "envoy") << "nobody asked for it by that name";
}

TEST(GatesPatch, PassesWhatTheSourceHasPassed) {
  json source = pod();
  source["status"]["conditions"] = {{{"type", "lb/a"}, {"status", "True"}},
                                    {{"type", "lb/b"}, {"status", "False"}},
                                    {{"type", "lb/c"}, {"status", "True"}}};
  json clone = pod();
  clone["spec"]["readinessGates"] = {
      {{"conditionType", "lb/a"}}, {{"conditionType", "lb/b"}}, {{"conditionType", "lb/c"}}};
  EXPECT_TRUE(gates_patch(clone, source).empty()) << "its containers are not Ready";
  clone["status"]["conditions"] = {{{"type", "ContainersReady"}, {"status", "True"}},
                                   {{"type", "lb/c"}, {"status", "False"}}};
  EXPECT_EQ(
      gates_patch(clone, source),
      json::array(
          {{{"op", "add"}, {"path", "/status/conditions/-"}, {"value", {{"type", "lb/a"}, {"status", "True"}}}}}));
}

TEST(UnknownContainers, AreThoseThatNoContainerHas) {
  json asked = pod();
  EXPECT_TRUE(unknown_containers(asked).empty());
  asked["metadata"]["annotations"][api::annotations::run_init_containers] = "warm-up, wram-up";
  asked["metadata"]["annotations"][api::annotations::run_startup_probe] = "web";
  EXPECT_EQ(unknown_containers(asked),
            (std::vector<UnknownContainer>{{api::annotations::run_init_containers, "wram-up"}}));
}

TEST(HandOverPatch, GivesLabelsAndOwnerAndNothingElse) {
  EXPECT_EQ(
      hand_over_patch(pod()),
      json({{"metadata",
             {{"labels", pod()["metadata"]["labels"]}, {"ownerReferences", pod()["metadata"]["ownerReferences"]}}}}));
  json counted = pod();
  counted["metadata"]["finalizers"].push_back(job_tracking_finalizer);
  EXPECT_EQ(hand_over_patch(counted)["metadata"]["finalizers"], json::array({job_tracking_finalizer}))
      << "its Job counts the clone instead";
  json bare = pod();
  bare["metadata"].erase("ownerReferences");
  EXPECT_EQ(hand_over_patch(bare), json({{"metadata", {{"labels", bare["metadata"]["labels"]}}}}));
}

}  // namespace
}  // namespace godwit::controller
