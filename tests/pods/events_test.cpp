// The rows of the events: each with its reason, the phase that it belongs to, and what it says.
#include <gmock/gmock.h>

#include "rows.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using EventsTest = RowTest;

TEST_F(EventsTest, ThoseOfAMoveThatSucceeds) {
  start_pod("cache");
  const std::string name = order("cache");
  const json status = outcome(name);
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  expect_event(name, "PreDumpFinished", "Pre-dump", "iteration 1: ");
  EXPECT_EQ(events(name, "PreDumpFinished").size(), status.value("iterationsDone", 0U)) << "one an iteration";
  expect_event(name, "PreDumpSkipped", "Pre-dump", "another round would not shorten the pause");
  expect_event(name, "PodCreateFinished", "Restore", "pod cache-clone-1 runs on node");
  expect_event(name, "MigrationFinished", "Complete", "as cache-clone-1, after a pause of");
}

TEST_F(EventsTest, PreDumpFailed) {
  start_large_pod("cache");
  const std::string uid = uid_of("cache");
  const int other = other_node("cache");
  Clients clients(node(0), address_of("cache"), 6379, "stays");
  slow_links_down();
  const std::string name = order("cache", {{"destination", node(other).name()}});
  wait_for_copying(other);
  kill_agent(other);
  const json status = outcome(name);
  start_agent(other);
  EXPECT_EQ(status.value("state", ""), "Failed");
  expect_event(name, "PreDumpFailed", "Pre-dump", "iteration 1 failed: ");
  expect_event(name, "MigrationFailed", "Failed", status.value("message", "?"));
  EXPECT_EQ(uid_of("cache"), uid);
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
}

// No permission: the namespace may have no other pod.
TEST_F(EventsTest, PodCreateFailedForWantOfPermission) {
  start_pod("cache");
  kubectl({"create", "quota", "full", "--hard=pods=1"});
  EXPECT_TRUE(
      eventually(soon(), [&] { return get({"quota", "full"}).value("/status/used/pods"_json_pointer, "") == "1"; }));
  const std::string name = order("cache");
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_EQ(status.value("reason", ""), "PodCreateFailed");
  expect_event(name, "PodCreateFailed", "Restore", "exceeded quota");
  expect_event(name, "MigrationFailed", "Failed", "exceeded quota");
  EXPECT_THAT(pod_names(), ElementsAre("cache"));
}

// Its kubelet refuses it: what it needs is there no more.
TEST_F(EventsTest, PodCreateFailedByItsKubelet) {
  kubectl({"create", "configmap", "settings", "--from-literal=a=b"});
  const json reference = {{"configMapKeyRef", {{"name", "settings"}, {"key", "a"}}}};
  start_pod("cache", json::object(), {{"env", {{{"name", "A"}, {"valueFrom", reference}}}}});
  kubectl({"delete", "configmap", "settings"});
  const std::string uid = uid_of("cache");
  const std::string name = order("cache");
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_EQ(status.value("reason", ""), "PodCreateFailed");
  EXPECT_THAT(status.value("message", ""), AllOf(HasSubstr("CreateContainerConfigError"), HasSubstr("settings")));
  expect_event(name, "PodCreateFailed", "Restore", "settings");
  EXPECT_TRUE(eventually(soon(), [&] { return pod_names() == std::vector<std::string>{"cache"}; }));
  EXPECT_EQ(uid_of("cache"), uid);
  EXPECT_EQ(restarts("cache"), 0);
}

}  // namespace
}  // namespace godwit
