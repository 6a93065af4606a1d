#include "controller/eligibility.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

json eligible_pod() {
  return json::parse(R"({
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"},
                 "ownerReferences": [{"kind": "ReplicaSet", "controller": true}]},
    "spec": {
      "nodeName": "node-1", "runtimeClassName": "live",
      "initContainers": [{"name": "once"}],
      "containers": [{"name": "web", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}],
      "volumes": [{"name": "scratch", "emptyDir": {}}, {"name": "settings", "configMap": {"name": "s"}},
                  {"name": "token", "projected": {}}]
    },
    "status": {"phase": "Running", "containerStatuses": [{"name": "web", "state": {"running": {}}}]}
  })");
}

// What is said against the pod once `patch` (RFC 7386) has changed it.
std::vector<std::string> obstacles_with(const char* patch) {
  json pod = eligible_pod();
  pod.merge_patch(json::parse(patch));
  return pod_obstacles(pod);
}

testing::Matcher<std::vector<std::string>> only(const std::string& words) {
  return ElementsAre(HasSubstr(words));
}

TEST(PodObstacles, APodThatMeetsEverythingHasNone) {
  EXPECT_THAT(pod_obstacles(eligible_pod()), IsEmpty());
  EXPECT_THAT(obstacles_with(R"({"metadata": {"ownerReferences": null}})"), IsEmpty()) << "a bare pod";
  EXPECT_THAT(obstacles_with(R"({"metadata": {"ownerReferences": [{"kind": "Job", "controller": true}]}})"), IsEmpty());
}

TEST(PodObstacles, ItsUserForbidsIt) {
  EXPECT_THAT(obstacles_with(R"({"metadata": {"labels": {"autoscaling.cast.ai/live-migration-disabled": "true"}}})"),
              only("autoscaling.cast.ai/live-migration-disabled=true"));
  EXPECT_THAT(obstacles_with(R"({"metadata": {"labels": {"autoscaling.cast.ai/live-migration-disabled": "false"}}})"),
              IsEmpty());
  EXPECT_THAT(obstacles_with(R"({"metadata": {"labels": {"autoscaling.cast.ai/removal-disabled": "true"}}})"),
              IsEmpty())
      << "it may be moved, but not removed";
}

TEST(PodObstacles, ItsOwnerBindsItToItsNode) {
  EXPECT_THAT(obstacles_with(R"({"metadata": {"ownerReferences": [{"kind": "DaemonSet", "controller": true}]}})"),
              only("DaemonSet"));
  EXPECT_THAT(obstacles_with(R"({"metadata": {"ownerReferences": [{"kind": "Workflow", "controller": true}]}})"),
              only("its owner is a Workflow"));
  EXPECT_THAT(obstacles_with(R"({"metadata": {"ownerReferences": [{"kind": "Workflow"}]}})"), IsEmpty())
      << "an owner that does not control it";
  EXPECT_THAT(obstacles_with(R"({"metadata": {"annotations": {"kubernetes.io/config.mirror": "x"}}})"),
              only("static pod"));
}

TEST(PodObstacles, ItDoesNotRun) {
  EXPECT_THAT(obstacles_with(R"({"status": {"phase": "Pending"}})"), only("it is Pending, not Running"));
  EXPECT_THAT(obstacles_with(R"({"status": null})"), only("it is Pending"));
  EXPECT_THAT(obstacles_with(R"({"metadata": {"deletionTimestamp": "2024-05-01T12:00:00Z"}})"),
              only("it is being deleted"));
  EXPECT_THAT(obstacles_with(R"({"status": {"containerStatuses": [{"name": "web", "state": {"waiting": {}}}]}})"),
              only("its container web does not run"));
}

TEST(PodObstacles, ItSharesNamespacesWithItsNode) {
  EXPECT_THAT(obstacles_with(R"({"spec": {"hostNetwork": true}})"), only("hostNetwork"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"hostPID": true}})"), only("hostPID"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"hostIPC": true}})"), only("hostIPC"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"hostNetwork": false, "hostUsers": true}})"), IsEmpty());
}

TEST(PodObstacles, AContainerHasWhatCannotBeMoved) {
  EXPECT_THAT(obstacles_with(R"({"spec": {"containers": [{"name": "web", "tty": true}]}})"),
              only("terminal or standard input"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"containers": [{"name": "web", "stdin": true}]}})"),
              only("terminal or standard input"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"containers": [{"name": "web", "volumeDevices": []}]}})"),
              only("raw block device"));
  EXPECT_THAT(obstacles_with(
                  R"({"spec": {"containers": [{"name": "web", "resources": {"requests": {"nvidia.com/gpu": "1"}}}]}})"),
              only("nvidia.com/gpu"));
}

TEST(PodObstacles, AnotherRuntimeWouldBeginItsCloneAnew) {
  EXPECT_THAT(obstacles_with(R"({"spec": {"runtimeClassName": null}})"), only("no runtimeClassName"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"runtimeClassName": "other"}})"), only("runtimeClassName is other"));
}

TEST(PodObstacles, ADirectoryOfAVolumeThatIsNamedAfterThePodIsNotTheClones) {
  const char* spec = R"_({"spec": {
    "containers": [{"name": "web", "volumeMounts": [{"name": "data", "mountPath": "/d", "subPathExpr": "$(POD_NAME)"}]}],
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}})_";
  EXPECT_THAT(obstacles_with(spec), only("subPathExpr"));
  json pod = eligible_pod();
  pod.merge_patch(json::parse(spec));
  pod["metadata"]["ownerReferences"][0]["kind"] = "StatefulSet";
  EXPECT_THAT(pod_obstacles(pod), IsEmpty()) << "it keeps its name";
}

TEST(PodObstacles, ContainersAndNativeSidecarsMoveTogether) {
  EXPECT_THAT(obstacles_with(R"({"spec": {"containers": [{"name": "web"}, {"name": "log"}]}})"), IsEmpty());
  EXPECT_THAT(obstacles_with(R"({"spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]}})"),
              IsEmpty());
  EXPECT_THAT(
      obstacles_with(R"({"spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always", "tty": true}]}})"),
      only("its container proxy has a terminal"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"initContainers": [{"name": "once", "tty": true}]}})"), IsEmpty())
      << "it has ended";
  EXPECT_THAT(obstacles_with(R"({"spec": {"initContainers": [{"name": "proxy", "restartPolicy": "Always"}]},
                                 "status": {"initContainerStatuses": [{"name": "proxy", "state": {"waiting": {}}}]}})"),
              only("its container proxy does not run"));
}

TEST(MovingContainers, AreThoseThatRunAllTheTime) {
  json pod = eligible_pod();
  pod["spec"]["initContainers"].push_back({{"name", "proxy"}, {"restartPolicy", "Always"}});
  pod["status"]["initContainerStatuses"] = json::parse(
      R"([{"name": "once", "containerID": "containerd://1"}, {"name": "proxy", "containerID": "containerd://2"}])");
  pod["status"]["containerStatuses"][0]["containerID"] = "containerd://3";
  EXPECT_THAT(moving_containers(pod), ElementsAre("2", "3"));
}

TEST(PodObstacles, AVolumeBelongsToTheNode) {
  EXPECT_THAT(obstacles_with(R"({"spec": {"volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}]}})"),
              only("its volume logs is a hostPath"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"volumes": [{"name": "big", "emptyDir": {"medium": "HugePages-2Mi"}}]}})"),
              only("huge pages"));
  EXPECT_THAT(obstacles_with(R"({"spec": {"volumes": [{"name": "m", "emptyDir": {"medium": "Memory"}}]}})"), IsEmpty());
}

TEST(PodObstacles, AllAreToldAtOnce) {
  EXPECT_THAT(obstacles_with(R"({"status": {"phase": "Succeeded"}, "spec": {"hostNetwork": true, "hostPID": true}})"),
              SizeIs(3));
}

TEST(PodRequirements, EachHasItsVerdictWhetherItIsMetOrNot) {
  json pod = eligible_pod();
  pod["spec"]["hostPID"] = true;
  const std::vector<Requirement> all = pod_requirements(pod, {});
  ASSERT_GE(all.size(), 6U);
  size_t met = 0;
  for (const Requirement& one : all) {
    EXPECT_FALSE(one.name.empty());
    EXPECT_FALSE(one.remedy.empty()) << one.name;
    met += one.met() ? 1 : 0;
    if (!one.met()) EXPECT_EQ(one.name, "it shares nothing with its node");
  }
  EXPECT_EQ(met, all.size() - 1);
}

json node(const char* patch = "{}") {
  json object = json::parse(R"({
    "metadata": {"name": "node-1", "labels": {"live.cast.ai/migration-enabled": "true"}},
    "status": {"addresses": [{"type": "Hostname", "address": "node-1"}, {"type": "InternalIP", "address": "10.0.0.7"}],
               "conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]}
  })");
  object.merge_patch(json::parse(patch));
  return object;
}

TEST(NodeObstacles, ANodeMustBeEnabledReadyAndReachable) {
  EXPECT_THAT(node_obstacles(node()), IsEmpty());
  EXPECT_EQ(internal_address(node()), "10.0.0.7");
  EXPECT_THAT(node_obstacles(node(R"({"metadata": {"labels": null}})")), only("not enabled for live migration"));
  EXPECT_THAT(node_obstacles(node(R"({"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}})")),
              only("node node-1 is not Ready"));
  EXPECT_THAT(node_obstacles(node(R"({"status": {"addresses": null}})")), only("no internal address"));
  EXPECT_THAT(
      node_obstacles(node(R"({"status": null, "metadata": {"labels": {"live.cast.ai/migration-enabled": "x"}}})")),
      SizeIs(3));
}

}  // namespace
}  // namespace godwit::controller
