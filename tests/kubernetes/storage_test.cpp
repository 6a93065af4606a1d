// The storage classes: "shared" for many nodes at a time, "single" for one.
#include <thread>

#include "cluster/layout.h"
#include "fixture.h"
#include "os/file.h"

namespace godwit::cluster {
namespace {

using testing::HasSubstr;

class Storage : public ClusterTest, public testing::WithParamInterface<NetworkMode> {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_CLUSTER_PARTS();
    use(GetParam());
  }

  void make_claim(const std::string& name, const std::string& storage_class, const std::string& access_mode) const {
    apply(fmt::format(R"(
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: {}}}
spec: {{storageClassName: {}, accessModes: [{}], resources: {{requests: {{storage: 1Gi}}}}}}
)",
                      name, storage_class, access_mode));
  }
  // A pod on a node, with the claim at /data.
  void make_pod(const std::string& name, int node, const std::string& claim) const {
    apply(fmt::format(R"(
apiVersion: v1
kind: Pod
metadata: {{name: {0}, labels: {{app: {0}}}}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {1}}}
  terminationGracePeriodSeconds: 1
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: {2}}}}}]
  containers:
  - {{name: main, image: "godwit.test/tiny:1", imagePullPolicy: Never, volumeMounts: [{{name: data, mountPath: /data}}]}}
)",
                      name, lab::place_name(node), claim));
  }
};

INSTANTIATE_TEST_SUITE_P(Cluster, Storage, testing::Values(NetworkMode::flat, NetworkMode::routed),
                         [](const auto& mode) { return to_string(mode.param); });

TEST_P(Storage, VolumesOfAStatefulSetOutliveItsPod) {
  apply(R"(
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: db
        image: godwit.test/tiny:1
        imagePullPolicy: Never
        command: [sh, -c, "echo started >>/single/log; echo started >>/shared/log; exec sleep inf"]
        volumeMounts: [{name: single, mountPath: /single}, {name: shared, mountPath: /shared}]
  volumeClaimTemplates:
  - metadata: {name: single}
    spec: {storageClassName: single, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  - metadata: {name: shared}
    spec: {storageClassName: shared, accessModes: [ReadWriteMany], resources: {requests: {storage: 1Gi}}}
)");
  wait_for_pods("app=db");
  const json before = get({"pod", "db-0"});
  kubectl({"delete", "pod", "db-0"});
  ASSERT_TRUE(eventually(soon(), [&] {
    return try_kubectl({"get", "pod", "db-0", "-o", "jsonpath={.metadata.uid}"}).value_or("") !=
           before.at("metadata").at("uid").get<std::string>();
  }));
  wait_for_pods("app=db");
  EXPECT_EQ(kubectl({"exec", "db-0", "--", "cat", "/single/log", "/shared/log"}),
            "started\nstarted\nstarted\nstarted\n");
}

TEST_P(Storage, SharedVolumeIsOnTwoNodesAtATime) {
  make_claim("data", "shared", "ReadWriteMany");
  make_pod("one", 1, "data");
  make_pod("two", 2, "data");
  wait_for_pods("app=one");
  wait_for_pods("app=two");
  kubectl({"exec", "one", "--", "sh", "-c", "echo hello >/data/file"});
  EXPECT_EQ(kubectl({"exec", "two", "--", "cat", "/data/file"}), "hello\n");
}

TEST_P(Storage, SingleVolumeGoesToASecondNodeOnlyAfterTheFirst) {
  make_claim("data", "single", "ReadWriteOnce");
  make_pod("one", 1, "data");
  wait_for_pods("app=one");
  kubectl({"exec", "one", "--", "sh", "-c", "echo hello >/data/file"});
  // Past Kubernetes' own check, which does not even try: the driver refuses it.
  const std::string volume = get({"pvc", "data"}).at("spec").at("volumeName");
  apply(fmt::format(R"(
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {{name: {0}}}
spec: {{attacher: storage.godwit.test, nodeName: node-2, source: {{persistentVolumeName: {1}}}}}
)",
                    space_, volume));
  EXPECT_TRUE(eventually(soon(), [&] {
    return try_kubectl({"get", "volumeattachment", space_, "-o", "jsonpath={.status.attachError.message}"})
        .value_or("")
        .contains("is attached to node-1");
  }));
  kubectl({"delete", "volumeattachment", space_});

  make_pod("two", 2, "data");
  std::this_thread::sleep_for(seconds(3));
  EXPECT_EQ(get({"pod", "two"}).at("status").at("phase"), "Pending");
  kubectl({"delete", "pod", "one"});
  wait_for_pods("app=two");
  EXPECT_EQ(kubectl({"exec", "two", "--", "cat", "/data/file"}), "hello\n");
}

TEST_P(Storage, DataGoesWithTheClaim) {
  make_claim("data", "shared", "ReadWriteMany");
  ASSERT_TRUE(eventually(soon(), [&] { return get({"pvc", "data"}).at("status").value("phase", "") == "Bound"; }));
  const std::string volume = get({"pvc", "data"}).at("spec").at("volumeName");
  const std::string folder = cluster().place(1).root_path() + lab::shared_in_node + "/volumes/" + volume;
  EXPECT_TRUE(os::exists(folder));
  kubectl({"delete", "pvc", "data"});
  EXPECT_TRUE(eventually(soon(), [&] { return !try_kubectl({"get", "pv", volume}) && !os::exists(folder); }));
}

}  // namespace
}  // namespace godwit::cluster
