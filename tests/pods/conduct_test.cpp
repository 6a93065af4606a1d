// What a pod that moves is to its kubelets and to those who look into it: probes, logs, commands.
#include <gmock/gmock.h>

#include <sstream>

#include "rows.h"

namespace godwit {
namespace {

using testing::HasSubstr;
using testing::Not;

class ConductTest : public RowTest {
 protected:
  // Twice, and under its new name nothing has ever been restarted.
  void expect_no_restart(const json& probe) const {
    json strict = {{"periodSeconds", 1}, {"failureThreshold", 1}, {"timeoutSeconds", 1}};
    strict.update(probe);
    json container = {{"livenessProbe", strict}, {"readinessProbe", strict}};
    if (!probe.contains("tcpSocket")) container["readinessProbe"]["tcpSocket"] = nullptr;
    start_pod("cache", json::object(), container);
    for (const std::string name : {"cache", "cache-clone-1"}) {
      const json status = migrate(name)["status"];
      ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    }
    EXPECT_EQ(restarts("cache-clone-2"), 0);
    for (const json& event : get({"events", "--field-selector", "reason=Unhealthy"})["items"]) {
      // In a container that has moved none can be run: that is no failure of it, and changes nothing.
      EXPECT_THAT(event.value("message", ""), Not(HasSubstr("Liveness probe failed")));
    }
  }
};

TEST_F(ConductTest, AStrictTcpProbeRestartsNothing) {
  expect_no_restart({{"tcpSocket", {{"port", 6379}}}});
}

TEST_F(ConductTest, AStrictExecProbeRestartsNothing) {
  expect_no_restart({{"exec", {{"command", {"redis-cli", "ping"}}}}});
}

// A program that writes a line every few milliseconds: what it wrote here and there is one sequence, but for lines that
// were under way to the log of the source's node when it was frozen.
TEST_F(ConductTest, LogsGoOnAndCommandsRun) {
  start_pod("cache", json::object(),
            {{"image", "godwit.test/tiny:1"},
             {"command", {"sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done"}},
             {"readinessProbe", nullptr}});
  const auto numbers = [&](const std::string& name) {
    std::istringstream text(kubectl({"logs", name}));
    std::vector<int> all;
    for (int number = 0; text >> number;) all.push_back(number);
    return all;
  };
  EXPECT_TRUE(eventually(soon(), [&] { return numbers("cache").size() > 50; }));
  const json status = migrate("cache")["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  const size_t before = numbers("cache-clone-1").size();
  EXPECT_TRUE(eventually(soon(), [&] { return numbers("cache-clone-1").size() > before + 50; }));
  const std::vector<int> there = numbers("cache-clone-1");
  EXPECT_EQ(there[0], 1) << "what it wrote before is there too";
  int missing = 0;
  for (size_t i = 1; i < there.size(); ++i) {
    ASSERT_GT(there[i], there[i - 1]) << "it did not begin anew";
    missing += there[i] - there[i - 1] - 1;
  }
  EXPECT_LE(missing, 5);
  EXPECT_EQ(kubectl({"exec", "cache-clone-1", "--", "echo", "here"}), "here\n");
  EXPECT_EQ(kubectl({"logs", "--tail=1", "cache-clone-1"}).empty(), false);
}

// As the strictest of Kubernetes' pod security standards has it, which the namespace enforces of the clone, too.
TEST_F(ConductTest, APodOfTheRestrictedStandardMoves) {
  kubectl({"label", "namespace", space_, "pod-security.kubernetes.io/enforce=restricted"});
  const json of_pod = {{"runAsNonRoot", true},
                       {"runAsUser", 1000},
                       {"runAsGroup", 3000},
                       {"fsGroup", 2000},
                       {"seccompProfile", {{"type", "RuntimeDefault"}}}};
  const json of_container = {{"allowPrivilegeEscalation", false},
                             {"readOnlyRootFilesystem", true},
                             {"capabilities", {{"drop", json::array({"ALL"})}}}};
  start_pod("cache", {{"spec", {{"securityContext", of_pod}}}}, {{"securityContext", of_container}});
  Clients clients(node(0), address_of("cache"), 6379, "strict");
  const auto rights = [&](const std::string& name) {
    return kubectl(
        {"exec", name, "--", "grep", "-E", "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp):", "/proc/1/status"});
  };
  const std::string before = rights("cache");
  EXPECT_THAT(before, HasSubstr("Seccomp:\t2"));
  kubectl({"exec", "cache", "--", "redis-cli", "save"});
  for (const std::string name : {"cache", "cache-clone-1"}) {
    const json status = migrate(name)["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  }
  EXPECT_EQ(rights("cache-clone-2"), before);
  EXPECT_EQ(kubectl({"exec", "cache-clone-2", "--", "redis-cli", "save"}), "OK\n");
  EXPECT_FALSE(try_kubectl({"exec", "cache-clone-2", "--", "touch", "/new"})) << "its root is read-only";
  EXPECT_EQ(restarts("cache-clone-2"), 0);
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
}

// As those that a service mesh's init container makes, which does not run again.
TEST_F(ConductTest, RulesOfThePodsNetworkGoAlong) {
  start_pod("cache");
  const std::string id = pod("cache")["status"]["containerStatuses"][0].value("containerID", "");
  const auto made = node(node_of("cache"))
                        .exec_checked({"sh", "-ec", R"(
pid=$(runc --root /run/containerd/runc/k8s.io state "$1" | sed -n 's/^ *"pid": \([0-9]*\).*/\1/p')
for chain in OUTPUT PREROUTING; do
  nsenter -t "$pid" -n iptables -t nat -A $chain -p tcp --dport 7777 -j REDIRECT --to-ports 6379
done)",
                                       "sh", id.substr(id.rfind('/') + 1)},
                                      soon());
  ASSERT_TRUE(made) << made.error().message;
  const auto answer = [&](const std::string& name) {
    return kubectl({"exec", name, "--", "redis-cli", "-h", address_of(name), "-p", "7777", "ping"});
  };
  ASSERT_EQ(answer("cache"), "PONG\n");
  Clients clients(node(0), address_of("cache"), 7777, "strict");
  for (const std::string name : {"cache", "cache-clone-1"}) {
    const json status = migrate(name)["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  }
  EXPECT_EQ(answer("cache-clone-2"), "PONG\n");
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
}

// The frozen copy would keep the lock that the copy there waits for.
TEST_F(ConductTest, ALockOnAFileThatBothNodesHaveIsRefused) {
  apply(R"(
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: common}
spec:
  accessModes: [ReadWriteMany]
  storageClassName: shared
  resources: {requests: {storage: 1Mi}}
)");
  const json volume = {{"name", "data"}, {"persistentVolumeClaim", {{"claimName", "common"}}}};
  start_pod("cache", {{"spec", {{"volumes", json::array({volume})}}}},
            {{"command", {"redis-server", "--protected-mode", "no", "--cluster-enabled", "yes"}}});
  const json status = migrate("cache")["status"];
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), HasSubstr("holds a lock on /data/nodes.conf"));
  EXPECT_EQ(restarts("cache"), 0);
}

}  // namespace
}  // namespace godwit
