// What may fail while a pod moves, in the phase where it hurts: the pod runs on, on exactly one node, and the Migration
// says what happened.
#include <gmock/gmock.h>

#include "cluster/faults.h"
#include "cluster/layout.h"
#include "rows.h"

namespace godwit {
namespace {

using cluster::control_plane;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

class FaultTest : public RowTest {
 protected:
  static constexpr const char* leaves_dead_nodes = R"(
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 0}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 0}
)";

  // A pod whose clients look closely, on its way to another node by slow links.
  void set_off(const json& options = json::object()) {
    start_large_pod("cache");
    uid_ = uid_of("cache");
    address_ = address_of("cache");
    source_ = node_of("cache");
    destination_ = other_node("cache");
    clients_.emplace(node(0), address_, 6379, "faults");
    if (!options.empty()) make_it_change();
    slow_links_down();
    name_ = order("cache", {{"destination", node(destination_).name()}, {"options", options}});
    wait_for_copying(destination_);
  }
  // So much of its memory that the last of it takes a second or two to follow.
  void make_it_change() {
    auto load = node(source_).spawn({"redis-benchmark", "-h", address_, "-t", "set", "-r", "40000", "-d", "1024", "-n",
                                     "100000000", "-c", "4", "-q"},
                                    {});
    ASSERT_TRUE(load) << load.error().message;
    load_.emplace(std::move(*load));
  }
  // Frozen as soon as all memory has been copied once.
  void set_off_to_checkpoint() {
    set_off({{"requestedFreezeTime", "60s"}});
    wait_for_phase(name_, "Checkpoint");
  }

  // Its clients have noticed nothing but a pause, and no other copy of it is left.
  void expect_runs_once_on(int where) {
    load_.reset();
    const json report = clients_->report();
    EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
    fmt::print("clients: {}\n", report.dump());
    EXPECT_TRUE(eventually(patient(), [&] { return pods_of_redis() == 1U; })) << kubectl({"get", "pods", "-o", "wide"});
    const std::string name = pod_names().at(0);
    EXPECT_EQ(node_name_of(name), node(where).name());
    EXPECT_EQ(restarts(name), 0);
    for (int i = 1; i <= cluster().node_count(); ++i) {
      EXPECT_TRUE(eventually(patient(), [&] { return processes_on(i) == (i == where ? 1 : 0); }))
          << processes_on(i) << " on node " << i;
    }
  }
  void expect_stayed(const std::string& why) {
    const json status = outcome(name_);
    EXPECT_EQ(status.value("state", ""), "Failed");
    EXPECT_THAT(status.value("message", ""), HasSubstr(why));
    expect_event(name_, "MigrationFailed", "Failed", why);
    expect_runs_once_on(source_);
    EXPECT_EQ(uid_of("cache"), uid_) << "it is the very pod that it was";
  }
  void expect_moved() {
    const json status = outcome(name_);
    EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    expect_event(name_, "MigrationFinished", "Complete", "cache-clone-1");
    expect_runs_once_on(destination_);
  }

  // By the cluster's own rule for pods of dead nodes.
  void expect_lost_and_replaced(const json& status) {
    EXPECT_EQ(status.value("state", ""), "Failed");
    EXPECT_EQ(status.value("reason", ""), "LostAfterHandOver");
    EXPECT_THAT(status.value("message", ""),
                AllOf(HasSubstr(node(destination_).name()), HasSubstr("its owner replaces")));
    const auto replaced = [&] { return get({"deployment", "redis"})["status"].value("readyReplicas", 0) == 1; };
    EXPECT_TRUE(eventually(patient(), replaced)) << kubectl({"get", "pods", "-o", "wide"});
    revive_node(destination_);
    EXPECT_TRUE(eventually(patient(), [&] { return pods_of_redis() == 1U; })) << kubectl({"get", "pods", "-o", "wide"});
  }
  // The source's, so that it reads "ready" when there is nobody any more to say GO to.
  void stop_worker_at_restore(const std::string& session) const {
    const auto stopped = node(source_).exec_checked({"python3", "-c", R"(
import os, signal, sys, time
session = sys.argv[1]
def is_worker(pid):
  try:
    words = open(f"/proc/{pid}/cmdline").read().split("\0")
    return "worker" in words and session in words
  except OSError:
    return False
events = f"/run/godwit/sessions/{session}/events.jsonl"
while not os.path.exists(events) or '"restore"' not in open(events).read():
  time.sleep(0.001)
time.sleep(0.005)  # it has said so before it orders the restore, which takes 20 ms at least
for pid in filter(is_worker, filter(str.isdigit, os.listdir("/proc"))):
  try:
    os.kill(int(pid), signal.SIGSTOP)
  except ProcessLookupError:
    pass  # what a worker forks has its command line until it runs a program
time.sleep(1.5)
)",
                                                     session},
                                                    patient());
    ASSERT_TRUE(stopped) << stopped.error().message;
  }

  [[nodiscard]] size_t pods_of_redis() const { return get({"pods", "-l", "app=redis"})["items"].size(); }
  // Of the server, and of pods of earlier tests that are about to go.
  [[nodiscard]] int processes_on(int index) const {
    const auto said = node(index).exec_checked({"sh", "-c", "pidof redis-server | wc -w"}, soon());
    return said ? std::stoi(*said) : -1;
  }
  // As after a crash of its container, everything of the agent is gone.
  void kill_and_restart_agent(int index) const {
    kill_agent(index);
    start_agent(index);
  }
  void restart(int place, const std::string& component) const {
    const auto done = cluster::restart(cluster(), place, component);
    ASSERT_TRUE(done) << done.error().message;
  }

  std::string name_;
  std::string uid_;
  std::string address_;
  int source_ = 0;
  int destination_ = 0;
  std::optional<Clients> clients_;
  std::optional<os::Subprocess> load_;
};

TEST_F(FaultTest, TheLeaderIsKilledWhileMemoryIsCopied) {
  set_off();
  kill_leader_beside_another();
  expect_moved();
}

// Nobody leads while the pod is frozen, handed over and resumed.
TEST_F(FaultTest, TheLeaderIsAwayFromTheCopyToTheHandOver) {
  set_off();
  kill_controller();
  EXPECT_TRUE(eventually(patient(), [&] { return processes_on(source_) == 0 || processes_on(destination_) == 1; }));
  start_controller();
  expect_moved();
}

TEST_F(FaultTest, TheSourcesAgentIsKilledWhileMemoryIsCopied) {
  set_off();
  kill_and_restart_agent(source_);
  expect_stayed("agent");
}

TEST_F(FaultTest, TheSourcesAgentIsKilledInTheFreeze) {
  set_off_to_checkpoint();
  kill_and_restart_agent(source_);
  expect_stayed("agent");
}

TEST_F(FaultTest, TheDestinationsAgentIsKilledInTheFreeze) {
  set_off_to_checkpoint();
  kill_and_restart_agent(destination_);
  expect_stayed(node(destination_).name());
}

TEST_F(FaultTest, TheSourcesContainerdIsKilledWhileMemoryIsCopied) {
  set_off();
  restart(source_, "containerd");
  expect_moved();
}

// What was being made there is lost to its engine, or is not: the pod runs here or there.
TEST_F(FaultTest, TheDestinationsContainerdIsKilledWhileMemoryIsCopied) {
  set_off();
  restart(destination_, "containerd");
  const json status = outcome(name_);
  const bool moved = status.value("state", "") == "Completed";
  fmt::print("{}: {}\n", status.value("state", ""), status.value("message", ""));
  EXPECT_NE(status.value("message", ""), "");
  expect_runs_once_on(moved ? destination_ : source_);
}

TEST_F(FaultTest, TheApiServerIsAwayFromTheCopyToTheHandOver) {
  set_off();
  const auto killed = cluster::kill(cluster(), control_plane, "kube-apiserver");
  ASSERT_TRUE(killed) << killed.error().message;
  EXPECT_TRUE(eventually(patient(), [&] { return processes_on(destination_) == 1; }));
  // As a service manager would, again if it does not stay.
  EXPECT_TRUE(eventually(patient(), [&] {
    if (!cluster::component_pid(node(control_plane), "kube-apiserver")) restart(control_plane, "kube-apiserver");
    return try_kubectl({"get", "migration", name_}).has_value();
  })) << cluster::log_end(node(control_plane), "kube-apiserver");
  expect_moved();
}

TEST_F(FaultTest, TheDestinationsNodeDiesWhileMemoryIsCopied) {
  set_off();
  kill_node(destination_);
  const json status = outcome(name_);
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), HasSubstr("destination"));
  EXPECT_EQ(node_name_of("cache"), node(source_).name());
  revive_node(destination_);
  expect_stayed("destination");
}

// It takes the pod with it as any dead node does: its owner replaces it.
TEST_F(FaultTest, TheDestinationsNodeDiesAfterTheHandOver) {
  start_redis(leaves_dead_nodes);
  kubectl(
      {"patch", "deployment", "redis", "--type=json", "-p",
       R"([{"op": "add", "path": "/spec/template/spec/containers/0/readinessProbe/initialDelaySeconds", "value": 6}])"});
  kubectl({"rollout", "status", "deployment/redis", "--timeout=60s"});
  EXPECT_TRUE(eventually(patient(), [&] { return pods_of_redis() == 1U; }));
  const std::string original = only_pod();
  destination_ = other_node(original);
  name_ = order(original, {{"destination", node(destination_).name()}});
  EXPECT_TRUE(eventually(patient(), [&] { return migration(name_).value("/status/pauseMs"_json_pointer, 0.0) > 0; }));
  kill_node(destination_);
  const json status = outcome(name_);
  expect_lost_and_replaced(status);
}

// The source has said GO, and will never hear whether the pod ran: its copy may not go on, whatever happened there.
TEST_F(FaultTest, TheDestinationsNodeDiesWithTheWordToGo) {
  start_redis(leaves_dead_nodes);
  const std::string original = only_pod();
  source_ = node_of(original);
  destination_ = other_node(original);
  name_ = order(original, {{"destination", node(destination_).name()}});
  const auto session = [&] { return migration(name_).value("/status/session"_json_pointer, ""); };
  ASSERT_TRUE(eventually(patient(), [&] { return !session().empty(); }));
  stop_worker_at_restore(session());
  kill_node(destination_);
  const auto gone_on = node(source_).exec_checked({"pkill", "-CONT", "-f", session()}, soon());
  ASSERT_TRUE(gone_on) << gone_on.error().message;
  const json status = outcome(name_);
  EXPECT_THAT(status.value("message", ""), HasSubstr("does not report any more"));
  expect_lost_and_replaced(status);
}

}  // namespace
}  // namespace godwit
