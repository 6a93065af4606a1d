// Pods that move between the nodes of a real cluster under load.
#include <gmock/gmock.h>

#include <memory>

#include "figures.h"
#include "lab/layout.h"
#include "pods_cluster.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

INSTANTIATE_FOR_BOTH_NETWORKS(PodsOnAnyNetwork);

TEST_P(PodsOnAnyNetwork, ADeploymentsPodMovesTwentyTimesWithAddressConnectionsAndFiles) {
  start_redis();
  const std::string original = only_pod();
  const json before = pod(original);
  const std::string address = before["status"].value("podIP", "");
  const std::string service = get({"service", "redis"})["spec"].value("clusterIP", "");
  kubectl({"exec", original, "--", "sh", "-c", "echo from-the-source >/data/note; echo layer >/var/note"});
  const int home = node_of(original);
  const int client_node = other_than({home, other_than({home})});
  const std::string client = start_client_pod(client_node);
  std::vector<std::unique_ptr<Clients>> all;
  const auto add = [&](const lab::Node& place, const std::string& to, const std::string& prefix,
                       const std::string& netns) {
    all.push_back(std::make_unique<Clients>(place, to, 6379, prefix, netns));
  };
  add(node(0), address, "outside", "");
  add(node(client_node), address, "pod", client);
  add(node(client_node), service, "pod-service", client);
  // Routed: a node's own connections to a Service are shown the node by whatever interface leads to the pod, and end
  // when that becomes another one (docs/architecture.md).
  if (network() == cluster::NetworkMode::flat) add(node(1), service, "node-service", "");

  std::string name = original;
  MoveFigures figures;
  // Home, second, third and home again; in the end away from home.
  for (int move = 1; move <= 20; ++move) {
    const int here = node_of(name);
    const int next = here % cluster().node_count() + 1;
    const json migration = migrate(name, node(next).name());
    const json& status = migration["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    const std::string clone = fmt::format("{}-clone-{}", original, move);
    EXPECT_EQ(status.value("cloneName", ""), clone);
    EXPECT_GT(status.value("pauseMs", 0.0), 0);
    if (status.contains("clientGapMs")) EXPECT_GE(status["clientGapMs"], status["pauseMs"]);
    EXPECT_EQ(status.value("destinationNode", ""), node(next).name());
    EXPECT_EQ(status.value("networkMode", ""), "Preserve");
    const auto reasons = [&] { return event_reasons(migration["metadata"].value("name", "")); };
    const auto all_steps = AllOf(Contains("PreDumpFinished"), Contains("PreDumpSkipped"), Contains("PodCreateFinished"),
                                 Contains("MigrationFinished"));
    EXPECT_TRUE(eventually(soon(), [&] { return testing::Value(reasons(), all_steps); }))
        << testing::PrintToString(reasons());
    name = only_pod();
    ASSERT_EQ(name, clone);
    const json moved = pod(name);
    EXPECT_EQ(moved["spec"].value("nodeName", ""), status.value("destinationNode", ""));
    EXPECT_EQ(moved["status"].value("podIP", ""), address);
    EXPECT_EQ(moved["status"]["containerStatuses"][0].value("restartCount", -1), 0);
    EXPECT_TRUE(eventually(soon(), [&] {
      return !pod(name)["metadata"].value("annotations", json::object()).contains("cast.ai/restore");
    }));
    EXPECT_EQ(moved["metadata"]["ownerReferences"], before["metadata"]["ownerReferences"]);
    figures.add(status);
  }
  figures.print("Deployment, " + cluster::to_string(network()));
  // Where the processors are busy with other things the answer may come after nobody waits for it any more.
  EXPECT_GE(figures.client_gaps.size() * 2, figures.pauses.size()) << "clients that always ask wait each time";
  EXPECT_NE(node_of(name), home);
  add(node(0), address, "outside-late", "");
  add(node(client_node), service, "pod-service-late", client);
  EXPECT_EQ(kubectl({"exec", name, "--", "cat", "/data/note", "/var/note"}), "from-the-source\nlayer\n");
  const std::string log = kubectl({"logs", name});
  const std::string said_once = "Ready to accept connections";
  EXPECT_THAT(log, HasSubstr(said_once)) << "its log goes along";
  EXPECT_EQ(log.find(said_once), log.rfind(said_once)) << log;
  EXPECT_TRUE(
      eventually(soon(), [&] { return get({"deployment", "redis"})["status"].value("readyReplicas", 0) == 1; }));
  // The engine has removed what it made for the containers that have left.
  for (int i = 1; i <= cluster().node_count(); ++i) {
    const auto left = [&] {
      return node(i)
          .exec_checked({"sh", "-ec", R"(cd /run/containerd/io.containerd.runtime.v2.task/k8s.io
for id in $(ls); do ctr --namespace k8s.io tasks ls -q | grep -q "^$id$" || echo "$id"; done)"},
                        soon())
          .value_or("?");
    };
    EXPECT_TRUE(eventually(patient(), [&] { return left().empty(); })) << "node " << i << ":\n" << left();
  }
  for (const auto& clients : all) {
    const json report = clients->report();
    EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
    EXPECT_GT(report.value("requests", 0), 100);
    fmt::print("clients: {}\n", report.dump());
  }
}

TEST_P(PodsOnAnyNetwork, ConnectionsThroughANodePortOfAThirdNodeAreKept) {
  start_redis();
  kubectl({"patch", "service", "redis", "-p", R"({"spec": {"type": "NodePort"}})"});
  const int port = get({"service", "redis"})["spec"]["ports"][0].value("nodePort", 0);
  std::string name = only_pod();
  const int home = node_of(name);
  const int other = other_than({home});
  const int third = other_than({home, other});
  Clients clients(node(0), lab::place_address(third), port, "node-port");
  for (const int next : {other, home, other}) name = move(name, next);
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
  EXPECT_GT(report.value("requests", 0), 100);
  fmt::print("clients: {}\n", report.dump());
}

TEST_F(PodsTest, AContainerThatEndsAfterItsMoveIsStartedAgain) {
  start_redis();
  ASSERT_EQ(migrate(only_pod())["status"].value("state", ""), "Completed");
  const std::string name = only_pod();
  (void)try_kubectl({"exec", name, "--", "redis-cli", "shutdown", "nosave"});
  EXPECT_TRUE(eventually(patient(), [&] {
    const json status = pod(name)["status"]["containerStatuses"][0];
    return status.value("restartCount", 0) == 1 && status.value("ready", false);
  })) << kubectl({"describe", "pod", name});
}

TEST_F(PodsTest, EligiblePodsAndNodesHaveTheLabel) {
  start_redis();
  const std::string name = only_pod();
  const auto labelled = [&] {
    return try_kubectl({"get", "pods", "-l", "live.cast.ai/migration-enabled=true", "-o", "name"}).value_or("");
  };
  EXPECT_TRUE(eventually(soon(), [&] { return labelled() == "pod/" + name + "\n"; })) << labelled();
  kubectl({"label", "pod", name, "autoscaling.cast.ai/live-migration-disabled=true"});
  EXPECT_TRUE(eventually(soon(), [&] { return labelled().empty(); })) << labelled();
}

TEST_F(PodsTest, APodWithTheOptOutLabelStays) {
  start_redis();
  const std::string name = only_pod();
  kubectl({"label", "pod", name, "autoscaling.cast.ai/live-migration-disabled=true"});
  const json status = migrate(name)["status"];
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), HasSubstr("live-migration-disabled"));
  EXPECT_EQ(only_pod(), name);
}

TEST_F(PodsTest, ANodeThatIsNotEnabledIsNoDestination) {
  start_redis();
  const std::string name = only_pod();
  const std::string source = pod(name)["spec"].value("nodeName", "");
  const std::string other = source == "node-1" ? "node-2" : "node-1";
  enable_all_nodes_but(other);
  const json status = migrate(name, other)["status"];
  enable_all_nodes_but("");
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), AllOf(HasSubstr(other), HasSubstr("not enabled")));
  EXPECT_EQ(migrate(name, source)["status"].value("state", ""), "Failed");
  EXPECT_EQ(migrate(name, "node-9")["status"].value("message", ""), "there is no node node-9");
}

TEST_F(PodsTest, ARestoreAnnotationSetByHandIsRefused) {
  apply(R"({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "forged", "annotations": {"cast.ai/restore": "by-hand"}},
            "spec": {"runtimeClassName": "live", "restartPolicy": "Never",
                     "containers": [{"name": "a", "image": "godwit.test/tiny:1", "imagePullPolicy": "Never",
                                     "command": ["sleep", "100"]}]}})");
  EXPECT_TRUE(eventually(patient(), [&] {
    return try_kubectl({"describe", "pod", "forged"}).value_or("").find("set by Godwit alone") != std::string::npos;
  })) << kubectl({"describe", "pod", "forged"});
}

TEST_F(PodsTest, WithoutTheDestinationsAgentThePodStaysAndRunsOn) {
  start_redis();
  const std::string name = only_pod();
  const std::string source = pod(name)["spec"].value("nodeName", "");
  const int other = source == "node-1" ? 2 : 1;
  Clients clients(node(0), pod(name)["status"].value("podIP", ""), 6379, "stays");
  stop_agent(other);
  const json status = migrate(name, node(other).name())["status"];
  start_agent(other);
  EXPECT_EQ(status.value("state", ""), "Failed");
  enable_all_nodes_but("");
  EXPECT_EQ(only_pod(), name);
  EXPECT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].size() == 1; }));
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
  EXPECT_EQ(migrate(name, node(other).name())["status"].value("state", ""), "Completed") << "and later it can";
}

}  // namespace
}  // namespace godwit
