// Pods with several containers, which move as one.
#include <gmock/gmock.h>

#include <sstream>

#include "rows.h"

namespace godwit {
namespace {

using testing::UnorderedElementsAreArray;

constexpr int containers = 3;

class SeveralTest : public RowTest {
 protected:
  // A redis, a container that counts in it over localhost, and a native sidecar that does the same by the pod's
  // address: each by one connection, into a file of an emptyDir that all have.
  void start_trio(const std::string& kind = "Deployment") const {
    apply("apiVersion: apps/v1\nkind: " + kind + R"(
metadata: {name: trio}
spec:
  replicas: 1
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      runtimeClassName: live
      terminationGracePeriodSeconds: 1
      initContainers:
      - name: once
        image: godwit.test/tiny:1
        imagePullPolicy: Never
        command: [sh, -c, "echo begun >>/shared/once"]
        volumeMounts: [{name: shared, mountPath: /shared}]
      - name: sidecar
        image: godwit.test/redis:1
        imagePullPolicy: Never
        restartPolicy: Always
        env: [{name: ADDRESS, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
        command: [sh, -c, "until redis-cli -h $ADDRESS ping; do sleep 0.1; done;
                           exec redis-cli -h $ADDRESS -r -1 -i 0.005 incr sidecar >/shared/sidecar"]
        volumeMounts: [{name: shared, mountPath: /shared}]
      containers:
      - name: redis
        image: godwit.test/redis:1
        imagePullPolicy: Never
        readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}
        volumeMounts: [{name: shared, mountPath: /data}]
      - name: client
        image: godwit.test/redis:1
        imagePullPolicy: Never
        command: [sh, -c, "until redis-cli -h 127.0.0.1 ping; do sleep 0.1; done;
                           exec redis-cli -h 127.0.0.1 -r -1 -i 0.005 incr client >/elsewhere/client"]
        volumeMounts: [{name: shared, mountPath: /elsewhere}]
      volumes: [{name: shared, emptyDir: {}}]
)");
    kubectl({"rollout", "status", kind + "/trio", "--timeout=60s"});
    for (const char* key : {"client", "sidecar"}) {
      EXPECT_TRUE(eventually(soon(), [&] { return counted(only_pod(), key) > 20; })) << key;
    }
  }
  [[nodiscard]] int counted(const std::string& name, const std::string& key) const {
    const auto text = try_kubectl({"exec", name, "-c", "redis", "--", "redis-cli", "get", key});
    return text ? std::atoi(text->c_str()) : 0;
  }
  // The number and address of each connection in redis, but for the one that asks.
  [[nodiscard]] std::vector<std::string> connections(const std::string& name) const {
    std::istringstream lines(kubectl({"exec", name, "-c", "redis", "--", "redis-cli", "client", "list"}));
    std::vector<std::string> found;
    for (std::string line; std::getline(lines, line);) {
      if (line.find("cmd=incr") != std::string::npos) found.push_back(line.substr(0, line.find(" laddr=")));
    }
    return found;
  }
  // Every reply was the one after the last.
  void expect_no_gap(const std::string& name, const std::string& key) const {
    std::istringstream replies(kubectl({"exec", name, "-c", "redis", "--", "cat", "/data/" + key}));
    int expected = 0;
    for (std::string line; std::getline(replies, line);) {
      if (line == "PONG" || line.empty()) continue;
      ASSERT_EQ(line, std::to_string(++expected)) << key;
    }
    EXPECT_GT(expected, 100) << key;
  }
  void expect_never_restarted(const json& pod) const {
    int running = 0;
    for (const char* list : {"containerStatuses", "initContainerStatuses"}) {
      for (const json& status : pod["status"].value(list, json::array())) {
        if (!status["state"].contains("running")) continue;
        ++running;
        EXPECT_EQ(status.value("restartCount", -1), 0) << status.dump(1);
      }
    }
    EXPECT_EQ(running, containers) << pod["status"].dump(1);
  }
};

TEST_F(SeveralTest, APodsContainersMoveAsOneAndKeepTalkingToEachOther) {
  start_trio();
  const std::string original = only_pod();
  Clients outside(node(0), pod(original)["status"].value("podIP", ""), 6379, "outside");
  std::vector<std::string> before;
  ASSERT_TRUE(eventually(soon(), [&] { return (before = connections(original)).size() == 10; })) << before.size();
  std::string name = original;
  for (int move = 1; move <= 3; ++move) {
    const json status = migrate(name)["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    name = only_pod();
    ASSERT_EQ(name, fmt::format("{}-clone-{}", original, move));
    fmt::print("move {}: {} -> {}, pause {} ms\n", move, status.value("sourceNode", ""),
               status.value("destinationNode", ""), status.value("pauseMs", 0.0));
    expect_never_restarted(pod(name));
    for (const char* key : {"client", "sidecar"}) {
      const int now = counted(name, key);
      EXPECT_TRUE(eventually(soon(), [&] { return counted(name, key) > now + 20; })) << key << " talks no more";
    }
    EXPECT_THAT(connections(name), UnorderedElementsAreArray(before));
  }
  for (const char* key : {"client", "sidecar"}) expect_no_gap(name, key);
  EXPECT_EQ(kubectl({"exec", name, "-c", "client", "--", "cat", "/elsewhere/once"}), "begun\n");
  const json report = outside.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
  fmt::print("clients: {}\n", report.dump());
}

TEST_F(SeveralTest, AStatefulSetsPodMovesUnderItsName) {
  start_trio("StatefulSet");
  const std::vector<std::string> before = connections("trio-0");
  ASSERT_EQ(before.size(), 2U);
  for (int move = 1; move <= 2; ++move) {
    const json status = migrate("trio-0")["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    EXPECT_EQ(pod("trio-0")["spec"].value("nodeName", ""), status.value("destinationNode", ""));
    expect_never_restarted(pod("trio-0"));
    EXPECT_THAT(connections("trio-0"), UnorderedElementsAreArray(before));
  }
  for (const char* key : {"client", "sidecar"}) expect_no_gap("trio-0", key);
}

TEST_F(SeveralTest, AContainerThatEndsAfterItsMoveIsStartedAgainAlone) {
  start_trio();
  ASSERT_EQ(migrate(only_pod())["status"].value("state", ""), "Completed");
  const std::string name = only_pod();
  (void)try_kubectl({"exec", name, "-c", "redis", "--", "redis-cli", "shutdown", "nosave"});
  EXPECT_TRUE(eventually(patient(), [&] {
    for (const json& status : pod(name)["status"]["containerStatuses"]) {
      if (status.value("name", "") != "redis") continue;
      return status.value("restartCount", 0) == 1 && status.value("ready", false);
    }
    return false;
  })) << kubectl({"describe", "pod", name});
}

TEST_F(SeveralTest, WithoutTheDestinationsAgentAllRunOn) {
  start_trio();
  const std::string name = only_pod();
  const std::vector<std::string> before = connections(name);
  const int other = pod(name)["spec"].value("nodeName", "") == "node-1" ? 2 : 1;
  stop_agent(other);
  const json status = migrate(name, node(other).name())["status"];
  start_agent(other);
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_EQ(only_pod(), name);
  expect_never_restarted(pod(name));
  EXPECT_THAT(connections(name), UnorderedElementsAreArray(before));
  enable_all_nodes_but("");
}

// Its kubelet believes that the first containers run, and ends them.
TEST_F(SeveralTest, ACloneThatIsDeletedBeforeAllHaveArrivedCostsNothing) {
  start_trio();
  const std::string name = only_pod();
  fill_memory(name);
  const std::vector<std::string> before = connections(name);
  slow_links_down(20'000);
  const int destination = other_node(name);
  const std::string disturbed = order(name, {{"destination", node(destination).name()}});
  const std::string clone = name + "-clone-1";
  wait_for_copying(destination);
  EXPECT_FALSE(try_kubectl({"exec", clone, "-c", "redis", "--", "true"})) << "nothing has arrived";
  kubectl({"delete", "pod", clone, "--grace-period=1", "--wait=false"});
  EXPECT_EQ(outcome(disturbed).value("state", ""), "Failed");
  EXPECT_TRUE(eventually(patient(), [&] { return pod_names() == std::vector{name}; })) << kubectl({"get", "pods"});
  expect_never_restarted(pod(name));
  EXPECT_THAT(connections(name), UnorderedElementsAreArray(before));
  const int now = counted(name, "client");
  EXPECT_TRUE(eventually(soon(), [&] { return counted(name, "client") > now + 20; }));
  expect_no_gap(name, "client");
}

// Parts of one emptyDir, as in charts that keep all of a container's writable places in one volume.
class PartsTest : public RowTest {
 protected:
  // A redis with two parts, and a sidecar that has this mounted at /seen.
  void start_with(json seen) const {
    seen["name"] = "data";
    seen["mountPath"] = "/seen";
    const json sidecar = {
        {"name", "sidecar"},         {"image", "godwit.test/tiny:1"},  {"imagePullPolicy", "Never"},
        {"restartPolicy", "Always"}, {"command", {"sleep", "100000"}}, {"volumeMounts", json::array({seen})}};
    const json data = {{"name", "data"}, {"mountPath", "/data"}, {"subPath", "data"}};
    const json tmp = {{"name", "data"}, {"mountPath", "/tmp"}, {"subPath", "tmp"}};
    start_pod("parts", {{"spec", {{"initContainers", json::array({sidecar})}}}},
              {{"volumeMounts", json::array({data, tmp})}});
    in_redis("parts", "echo one >/tmp/one; echo two >/data/two; mkdir /tmp/deep; ln /tmp/one /tmp/deep/link");
  }
  std::string in_redis(const std::string& pod, const std::string& script) const {
    return kubectl({"exec", pod, "-c", "redis", "--", "sh", "-ec", script});
  }
  // By the sidecar, into which a kubelet lets nobody for its first second.
  [[nodiscard]] std::string seen(const std::string& pod, const std::string& file) const {
    return try_kubectl({"exec", pod, "-c", "sidecar", "--", "cat", "/seen/" + file}).value_or("");
  }
};

TEST_F(PartsTest, GoAlong) {
  start_with({{"subPath", "tmp"}});
  std::string name = "parts";
  for (const char* next : {"parts-clone-1", "parts-clone-2"}) {
    const json status = outcome(order(name));
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    name = next;
    EXPECT_EQ(in_redis(name, "cat /tmp/one /tmp/deep/link /data/two"), "one\none\ntwo\n");
    EXPECT_TRUE(eventually(soon(), [&] { return seen(name, "one") == "one\n"; })) << seen(name, "one");
    in_redis(name, "echo three >/tmp/three");
    EXPECT_EQ(seen(name, "three"), "three\n") << "it is one directory";
  }
}

TEST_F(PartsTest, OneThatIsPartOfAnotherIsRefused) {
  start_with(json::object());
  const json status = outcome(order("parts"));
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), testing::HasSubstr("parts of one another"));
  EXPECT_EQ(pod_names(), std::vector<std::string>{"parts"});
  EXPECT_EQ(restarts("parts"), 0);
  EXPECT_EQ(in_redis("parts", "cat /tmp/one"), "one\n");
}

}  // namespace
}  // namespace godwit
