// Each fault does what it says, the cluster goes on as Kubernetes does in such a case, and all is well after its
// undoing.
#include "cluster/faults.h"

#include <signal.h>

#include <thread>

#include "cluster/layout.h"
#include "fixture.h"

namespace godwit::cluster {
namespace {

using testing::HasSubstr;

class Faults : public ClusterTest {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_CLUSTER_PARTS();
    use(NetworkMode::flat);
  }

  void must(const Result<>& done) const { ASSERT_TRUE(done) << done.error().message; }
  // A pod of redis on a node, and its address.
  std::string start_redis(int node) const {
    apply(fmt::format(R"(
apiVersion: v1
kind: Pod
metadata: {{name: redis, labels: {{app: redis}}}}
spec:
  nodeSelector: {{kubernetes.io/hostname: {}}}
  terminationGracePeriodSeconds: 1
  containers: [{{name: redis, image: "godwit.test/redis:1", imagePullPolicy: Never}}]
)",
                      lab::place_name(node)));
    wait_for_pods("app=redis");
    return get({"pod", "redis"}).at("status").at("podIP");
  }
  [[nodiscard]] bool redis_answers(const std::string& address) const {
    const auto output = cluster().lab().outside().exec({"timeout", "2", "redis-cli", "-h", address, "ping"}, soon());
    return output && output->text == "PONG\n";
  }
  // Whether a pod can be made, scheduled to the node and run.
  void expect_new_pod_runs(const std::string& name, int node) const {
    kubectl({"run", name, "--image=godwit.test/tiny:1", "--image-pull-policy=Never", "--labels=app=" + name,
             R"(--overrides={"spec":{"nodeSelector":{"kubernetes.io/hostname":")" + lab::place_name(node) + R"("}}})"});
    wait_for_pods("app=" + name);
    kubectl({"delete", "pod", name, "--grace-period=0", "--force"});
  }
  [[nodiscard]] bool becomes(int node, const std::string& condition, const std::string& status) const {
    return eventually(patient(), [&] { return node_has(node, condition, status); });
  }
};

TEST_F(Faults, EveryComponentCanBeKilledAndRestarted) {
  for (const int place : {control_plane, 2}) {
    for (const Component& component : components_of(cluster(), place)) {
      SCOPED_TRACE(component.name);
      ASSERT_TRUE(component_pid(cluster().place(place), component.name));
      must(kill(cluster(), place, component.name));
      EXPECT_FALSE(component_pid(cluster().place(place), component.name));
      EXPECT_FALSE(kill(cluster(), place, component.name)) << "it is dead";
      must(restart(cluster(), place, component.name));
      // Started when its neighbour is not ready, a component may give up: a service manager would start it again.
      ASSERT_TRUE(eventually(soon(), [&] {
        std::this_thread::sleep_for(milliseconds(500));
        if (component_pid(cluster().place(place), component.name)) return true;
        must(restart(cluster(), place, component.name));
        return false;
      }));
    }
  }
  ASSERT_TRUE(eventually(patient(), [&] { return try_kubectl({"get", "--raw", "/readyz"}).has_value(); }));
  // Whatever could not do without the API server has ended by now, or never will.
  for (const Component& component : components_of(cluster(), control_plane)) {
    if (!component_pid(cluster().place(control_plane), component.name)) {
      must(restart(cluster(), control_plane, component.name));
    }
  }
  EXPECT_TRUE(becomes(2, "Ready", "True"));
  expect_new_pod_runs("after", 2);
}

TEST_F(Faults, WithoutAnApiServerPodsRunOn) {
  const std::string address = start_redis(1);
  must(kill(cluster(), control_plane, "kube-apiserver"));
  EXPECT_FALSE(try_kubectl({"get", "nodes"}));
  EXPECT_TRUE(redis_answers(address));
  must(restart(cluster(), control_plane, "kube-apiserver"));
  EXPECT_TRUE(eventually(patient(), [&] { return try_kubectl({"get", "pod", "redis"}).has_value(); }));
}

TEST_F(Faults, WithoutAKubeletANodeIsNotReadyAndItsPodsRunOn) {
  const std::string address = start_redis(2);
  must(kill(cluster(), 2, "kubelet"));
  EXPECT_TRUE(becomes(2, "Ready", "Unknown"));
  EXPECT_TRUE(redis_answers(address));
  must(restart(cluster(), 2, "kubelet"));
  EXPECT_TRUE(becomes(2, "Ready", "True"));
  expect_new_pod_runs("after", 2);
}

TEST_F(Faults, WithoutContainerdPodsRunOnAndNoneCanBeMade) {
  const std::string address = start_redis(2);
  must(kill(cluster(), 2, "containerd"));
  EXPECT_TRUE(redis_answers(address));
  EXPECT_FALSE(try_kubectl({"exec", "redis", "--", "true"}));
  must(restart(cluster(), 2, "containerd"));
  EXPECT_TRUE(eventually(patient(), [&] { return try_kubectl({"exec", "redis", "--", "true"}).has_value(); }));
  EXPECT_TRUE(becomes(2, "Ready", "True"));
  expect_new_pod_runs("after", 2);
}

TEST_F(Faults, AStoppedSchedulerSchedulesNothingUntilItGoesOn) {
  const lab::Node& place = cluster().place(control_plane);
  must(signal_component(place, "kube-scheduler", SIGSTOP));
  kubectl({"run", "waits", "--image=godwit.test/tiny:1", "--image-pull-policy=Never", "--labels=app=waits"});
  std::this_thread::sleep_for(seconds(3));
  EXPECT_FALSE(get({"pod", "waits"}).at("spec").contains("nodeName"));
  must(signal_component(place, "kube-scheduler", SIGCONT));
  wait_for_pods("app=waits");
}

TEST_F(Faults, AStalledApiServerAnswersLate) {
  std::jthread stall([&] { must(stall_api_server(cluster(), milliseconds(3000))); });
  std::this_thread::sleep_for(milliseconds(300));
  const auto started = Clock::now();
  kubectl({"get", "nodes"});
  EXPECT_GT(elapsed_ms(started), 2000);
}

TEST_F(Faults, AKilledNodeComesBackWithItsPods) {
  const std::string before = start_redis(3);
  must(kill_node(cluster(), 3));
  EXPECT_FALSE(redis_answers(before));
  EXPECT_TRUE(becomes(3, "Ready", "Unknown"));
  must(restart_node(cluster(), 3));
  EXPECT_TRUE(becomes(3, "Ready", "True"));
  // The same pod, its container started again.
  EXPECT_TRUE(eventually(patient(), [&] {
    const json status = get({"pod", "redis"}).at("status");
    return status.at("containerStatuses").at(0).at("restartCount") == 1 && redis_answers(status.value("podIP", ""));
  }));
  expect_new_pod_runs("after", 3);
}

TEST_F(Faults, ACutNodeIsNotReadyUntilItsCableIsHealed) {
  const std::string address = start_redis(1);
  must(cut_network(cluster(), 1));
  EXPECT_FALSE(redis_answers(address));
  EXPECT_TRUE(becomes(1, "Ready", "Unknown"));
  must(heal_network(cluster(), 1));
  EXPECT_TRUE(becomes(1, "Ready", "True"));
  EXPECT_TRUE(eventually(soon(), [&] { return redis_answers(address); }));
}

TEST_F(Faults, AFullDiskIsPressureUntilItIsFreed) {
  must(fill_disk(cluster(), 2));
  const auto written =
      cluster().place(2).exec({"dd", "if=/dev/zero", "of=/var/lib/kubelet/file", "bs=1M", "count=1"}, soon());
  ASSERT_TRUE(written);
  EXPECT_THAT(written->text, HasSubstr("No space left"));
  EXPECT_TRUE(becomes(2, "DiskPressure", "True"));
  must(free_disk(cluster(), 2));
  EXPECT_TRUE(becomes(2, "DiskPressure", "False"));
  // Its images are still there, and the scheduler takes it again.
  EXPECT_TRUE(
      eventually(patient(), [&] { return get({"node", "node-2"}).at("spec").value("taints", json()).empty(); }));
  expect_new_pod_runs("after", 2);
}

TEST_F(Faults, ASlowLinkIsAsSlowAsItIsToldUntilItIsHealed) {
  const auto seconds_for_a_megabyte = [&] {
    const auto started = Clock::now();
    const auto sent =
        cluster().place(1).exec({"sh", "-c", "socat -u TCP-LISTEN:9999 OPEN:/dev/null & sleep 0.2; wait"}, soon());
    (void)sent;
    return elapsed_ms(started) / 1000;
  };
  const auto transfer = [&] {
    double took = 0;
    std::jthread receiver([&] { took = seconds_for_a_megabyte(); });
    std::this_thread::sleep_for(milliseconds(300));
    const auto sent = cluster().lab().outside().exec(
        {"sh", "-c", "head -c 1000000 /dev/zero | socat -u - TCP:" + lab::place_address(1) + ":9999"}, soon());
    EXPECT_TRUE(sent && sent->status == 0) << (sent ? sent->text : sent.error().message);
    receiver.join();
    return took;
  };
  EXPECT_LT(transfer(), 1.5);
  must(slow_link(cluster(), 1, {.rate_kbit_s = 4000}));
  // 8 Mbit at 4 Mbit/s, less what the burst lets through at once.
  EXPECT_GT(transfer(), 1.8);
  must(slow_link(cluster(), 1, {.loss_percent = 50}));
  const auto lossy = cluster().lab().outside().exec(
      {"ping", "-q", "-i", "0.01", "-c", "200", "-W", "1", lab::place_address(1)}, soon());
  ASSERT_TRUE(lossy);
  // Half of the requests and half of what is left of the answers; 10 of 200 would be six deviations away.
  const std::string received = lossy->text.substr(lossy->text.find("transmitted, ") + 13, 3);
  EXPECT_GT(std::atoi(received.c_str()), 10) << lossy->text;
  EXPECT_LT(std::atoi(received.c_str()), 100) << lossy->text;
  must(slow_link(cluster(), 1, {}));
  EXPECT_LT(transfer(), 1.5);
  EXPECT_TRUE(becomes(1, "Ready", "True"));
}

}  // namespace
}  // namespace godwit::cluster
