// A test cluster is a cluster: what people do with one works, on both kinds of network.
#include <set>

#include "cluster/layout.h"
#include "fixture.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::cluster {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class Basic : public ClusterTest, public testing::WithParamInterface<NetworkMode> {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_CLUSTER_PARTS();
    use(GetParam());
  }

  // Pod name -> node, of pods with a label.
  [[nodiscard]] std::map<std::string, std::string> nodes_of(const std::string& selector) const {
    std::map<std::string, std::string> nodes;
    for (const json& pod : get({"pods", "-l", selector}).at("items")) {
      nodes[pod.at("metadata").at("name")] = pod.at("spec").value("nodeName", "");
    }
    return nodes;
  }
  // Whether `count` different pods answer at the URL sooner or later.
  [[nodiscard]] bool all_answer(size_t count, const std::function<std::string()>& ask) const {
    std::set<std::string> answered;
    return eventually(soon(), [&] {
      if (const std::string name = ask(); !name.empty()) answered.insert(name);
      return answered.size() == count;
    });
  }
};

// What does not depend on the network.
class Pods : public ClusterTest {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_CLUSTER_PARTS();
    use(NetworkMode::flat);
  }
};

INSTANTIATE_TEST_SUITE_P(Cluster, Basic, testing::Values(NetworkMode::flat, NetworkMode::routed),
                         [](const auto& mode) { return to_string(mode.param); });

TEST_P(Basic, HasThreeReadyNodesOfTheBuiltVersion) {
  const std::string version = os::read_file(kubernetes_folder() + "/version").value_or("?");
  const json nodes = get({"nodes"}).at("items");
  ASSERT_EQ(nodes.size(), 3U);
  for (const json& node : nodes) {
    EXPECT_EQ(node.at("status").at("nodeInfo").at("kubeletVersion").get<std::string>() + "\n", version);
  }
  for (int index = 1; index <= 3; ++index) EXPECT_TRUE(node_has(index, "Ready", "True")) << index;
  const json said = json::parse(kubectl({"version", "-o", "json"}), nullptr, false);
  EXPECT_EQ(said.at("serverVersion").at("gitVersion").get<std::string>() + "\n", version);
}

TEST_F(Pods, AnswersTheMachinesOwnKubectl) {
  const auto nodes = os::run_checked({.argv = {lab::built("cluster-image") + "/usr/bin/kubectl", "--kubeconfig",
                                               cluster().kubeconfig_path(), "get", "nodes"}},
                                     soon());
  ASSERT_TRUE(nodes) << nodes.error().message;
  EXPECT_THAT(*nodes, HasSubstr("node-3"));
}

TEST_P(Basic, ServiceReachesAllPodsFromEveryPodAndFromOutside) {
  start_web_servers(3);
  const auto nodes = nodes_of("app=web");
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_EQ(
      (std::set<std::string>{nodes.begin()->second, std::next(nodes.begin())->second, nodes.rbegin()->second}).size(),
      3U)
      << "each on a node of its own";
  const json service = get({"service", "web"}).at("spec");
  const std::string url = "http://" + service.at("clusterIP").get<std::string>() + "/";
  for (const auto& [pod, node] : nodes) {
    EXPECT_TRUE(all_answer(3, [&] { return fetch(pod, url); })) << "from " << pod << " on " << node;
  }
  const int port = service.at("ports").at(0).at("nodePort");
  for (int index = 1; index <= 3; ++index) {
    const std::string node_url = fmt::format("http://{}:{}/", lab::place_address(index), port);
    EXPECT_TRUE(all_answer(3, [&] { return fetch_outside(node_url); })) << node_url;
  }
}

TEST_P(Basic, PodsReachEachOtherByAllTheirAddresses) {
  start_web_servers(3);
  for (const json& pod : get({"pods", "-l", "app=web"}).at("items")) {
    const json addresses = pod.at("status").at("podIPs");
    EXPECT_EQ(addresses.size(), cluster().plan().dual_stack ? 2U : 1U);
    for (const json& address : addresses) {
      const std::string ip = address.at("ip");
      const std::string url = ip.contains(':') ? "http://[" + ip + "]/" : "http://" + ip + "/";
      const std::string name = pod.at("metadata").at("name");
      for (const std::string& from : names_of("app=web")) EXPECT_EQ(fetch(from, url), name) << "from " << from;
      EXPECT_EQ(fetch_outside(url), name) << url;
    }
  }
}

// Flat: a pod asks by ARP for one on another node. Routed: its address is from its node's range, and it asks nobody.
TEST_P(Basic, NetworkIsWhatItIsCalled) {
  start_web_servers(3);
  const json pods = get({"pods", "-l", "app=web"}).at("items");
  const std::string asking = pods.at(0).at("metadata").at("name");
  const std::string other = pods.at(1).at("status").at("podIP");
  ASSERT_NE(fetch(asking, "http://" + other + "/"), "");
  const std::string neighbours = kubectl({"exec", asking, "--", "ip", "neigh"});
  if (GetParam() == NetworkMode::flat) {
    EXPECT_THAT(neighbours, HasSubstr(other));
    EXPECT_THAT(kubectl({"exec", asking, "--", "ip", "route"}), HasSubstr(flat_gateway));
    return;
  }
  EXPECT_THAT(neighbours, Not(HasSubstr(other)));
  for (const json& pod : pods) {
    const json node = get({"node", pod.at("spec").at("nodeName")});
    const std::string range = node.at("spec").at("podCIDR");  // "10.244.1.0/24"
    const std::string address = pod.at("status").at("podIP");
    EXPECT_EQ(address.substr(0, address.rfind('.')), range.substr(0, range.rfind('.')));
  }
}

TEST_F(Pods, LogsAndExecReachContainers) {
  kubectl({"run", "talker", "--image=godwit.test/tiny:1", "--image-pull-policy=Never", "--labels=app=talker", "--",
           "sh", "-c", "echo said; exec sleep inf"});
  wait_for_pods("app=talker");
  EXPECT_EQ(kubectl({"logs", "talker"}), "said\n");
  EXPECT_EQ(kubectl({"exec", "talker", "--", "cat", "/proc/1/comm"}), "sleep\n");
  EXPECT_FALSE(try_kubectl({"exec", "talker", "--", "false"})) << "the status comes back";
}

TEST_P(Basic, DrainMovesPodsToOtherNodes) {
  start_web_servers(3);
  const std::string drained = lab::place_name(2);
  // Only this test's pods: those of the test before may still be going, and one that no controller owns refuses a
  // drain.
  kubectl(
      {"drain", drained, "--pod-selector=app=web", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=60s"});
  // The pods that replace those that were evicted.
  EXPECT_TRUE(eventually(
      patient(), [&] { return try_kubectl({"rollout", "status", "deployment", "web", "--timeout=1s"}).has_value(); }));
  for (const auto& [pod, node] : nodes_of("app=web")) EXPECT_NE(node, drained) << pod;
  kubectl({"uncordon", drained});
}

TEST_F(Pods, RuntimeClassLiveRunsPodsAndShowsTheirAnnotationsToTheRuntime) {
  apply(R"(
apiVersion: v1
kind: Pod
metadata: {name: alive, labels: {app: alive}, annotations: {cast.ai/test: here, example.com/other: there}}
spec:
  runtimeClassName: live
  terminationGracePeriodSeconds: 1
  nodeName: node-3
  containers:
  - {name: redis, image: "godwit.test/redis:1", imagePullPolicy: Never}
)");
  wait_for_pods("app=alive");
  const auto bundles = cluster().place(3).exec_checked(
      {"sh", "-c", "cat /run/containerd/io.containerd.runtime.v2.task/k8s.io/*/config.json"}, soon());
  ASSERT_TRUE(bundles) << bundles.error().message;
  EXPECT_THAT(*bundles, HasSubstr("cast.ai/test"));
  EXPECT_THAT(*bundles, Not(HasSubstr("example.com/other")));
}

TEST_F(Pods, AllContainerImagesRun) {
  const std::map<std::string, std::vector<std::string>> checks = {
      {"redis", {"redis-cli", "ping"}},
      {"postgres", {"psql", "-Atc", "select 6*7"}},
      {"nginx", {"wget", "-q", "-O", "-", "http://127.0.0.1/"}},
      {"workload", {"cat", "/proc/1/comm"}}};
  for (const auto& [image, check] : checks) {
    kubectl(
        {"run", image, "--image=godwit.test/" + image + ":1", "--image-pull-policy=Never", "--labels=app=" + image});
  }
  for (const auto& [image, check] : checks) {
    wait_for_pods("app=" + image);
    std::vector<std::string> command = {"exec", image, "--"};
    command.insert(command.end(), check.begin(), check.end());
    EXPECT_TRUE(eventually(soon(), [&] { return !try_kubectl(command).value_or("").empty(); })) << image;
  }
}

}  // namespace
}  // namespace godwit::cluster
