// The rows of the Migration resource: what each field of its spec does, and what its status, its columns and its
// description tell.
#include <gmock/gmock.h>

#include <regex>

#include "rows.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class MigrationTest : public RowTest {
 protected:
  // Moves the pod with these options; the status.
  [[nodiscard]] json moved_with(const std::string& pod, const json& options) const {
    name_ = order(pod, {{"options", options}});
    json status = outcome(name_);
    EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    return status;
  }
  void change(const std::string& name, const json& options) const {
    const json patch = {{"spec", {{"options", options}}}};
    kubectl({"patch", "migration", name, "--type=merge", "-p", patch.dump()});
  }
  [[nodiscard]] std::string connections_of(const std::string& pod) const {
    return kubectl({"exec", pod, "--", "redis-cli", "client", "list"});
  }
  // Why no further iterations were made.
  [[nodiscard]] std::string skip_note() const { return events(name_, "PreDumpSkipped").at(0).value("note", ""); }

  mutable std::string name_;
};

TEST_F(MigrationTest, PodNameAndDestination) {
  start_pod("cache");
  const std::string source = node_name_of("cache");
  const std::string wanted = node(other_node("cache")).name();
  const json status = outcome(order("cache", {{"destination", wanted}}));
  EXPECT_EQ(status.value("destinationNode", ""), wanted);
  EXPECT_EQ(node_name_of("cache-clone-1"), wanted);
  const json chosen = outcome(order("cache-clone-1", {{"destination", ""}}));
  EXPECT_EQ(chosen.value("state", ""), "Completed");
  EXPECT_NE(chosen.value("destinationNode", ""), wanted) << "another one is chosen";
  const json nobody = outcome(order("nobody"));
  EXPECT_EQ(nobody.value("state", ""), "Failed");
  EXPECT_THAT(nobody.value("message", ""), HasSubstr("pod nobody"));
}

// Each leaves its trace in what is said of the iterations that were not made. After the last of those that were there
// is always one more, for what changed while files were copied.
TEST_F(MigrationTest, OptionsOfTheIterations) {
  start_pod("cache");
  json status = moved_with("cache", {{"iterations", 1}});
  EXPECT_EQ(status.value("iterationsDone", 0), 2);
  status = moved_with("cache-clone-1", {{"dirtyPagesThreshold", 1'000'000}});
  EXPECT_EQ(status.value("iterationsDone", 0), 2);
  EXPECT_THAT(skip_note(), HasSubstr("few enough dirty pages"));
  status = moved_with("cache-clone-2", {{"requestedFreezeTime", "60s"}});
  EXPECT_EQ(status.value("iterationsDone", 0), 2);
  EXPECT_THAT(skip_note(), HasSubstr("as short as requested"));
}

// While memory changes as fast as it can be copied: one goes on for longer in the hope of a shorter pause.
TEST_F(MigrationTest, OptimizeFor) {
  start_pod("cache");
  const auto load = node(0).spawn({"redis-benchmark", "-h", address_of("cache"), "-t", "set", "-r", "20000", "-d",
                                   "512", "-n", "100000000", "-c", "4", "-q"},
                                  {});
  ASSERT_TRUE(load) << load.error().message;
  const int by_dump_time = moved_with("cache", {{"optimizeFor", "DumpTime"}}).value("iterationsDone", 0);
  const int by_freeze_time = moved_with("cache-clone-1", {{"optimizeFor", "FreezeTime"}}).value("iterationsDone", 0);
  EXPECT_LT(by_dump_time, by_freeze_time);
}

TEST_F(MigrationTest, Status) {
  start_pod("cache");
  const std::string source = node_name_of("cache");
  const std::string name = order("cache");
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Completed");
  EXPECT_EQ(status.value("phase", ""), "Complete");
  EXPECT_EQ(status.value("reason", ""), "Migrated");
  EXPECT_EQ(status.value("sourceNode", ""), source);
  EXPECT_EQ(status.value("destinationNode", ""), node_name_of("cache-clone-1"));
  EXPECT_EQ(status.value("cloneName", ""), "cache-clone-1");
  EXPECT_GT(status.value("pauseMs", 0.0), 0);
  ASSERT_GE(status["rounds"].size(), 2U);
  EXPECT_EQ(status["rounds"].size(), status.value("iterationsDone", 0U));
  EXPECT_GT(status["rounds"][0].value("pages", 0), 100) << "all of its memory";
  EXPECT_EQ(status["rounds"][0].value("bytes", 0), status["rounds"][0].value("pages", 0) * 4096);
  EXPECT_GT(status["rounds"][0].value("seconds", 0.0), 0);
  std::map<std::string, json> conditions;
  for (const json& condition : status["conditions"]) conditions[condition.value("type", "")] = condition;
  for (const auto& [type, reason] :
       {std::pair{"Eligible", "RequirementsMet"}, {"PodCreated", "PodCreateFinished"}, {"Completed", "Migrated"}}) {
    EXPECT_EQ(conditions[type].value("status", ""), "True") << type;
    EXPECT_EQ(conditions[type].value("reason", ""), reason);
    EXPECT_NE(conditions[type].value("message", ""), "");
  }
  std::vector<std::string> times;
  for (const char* time : {"startTime", "checkpointTime", "resumeTime", "completionTime"}) {
    times.push_back(status.value(time, "").substr(0, 19));
    EXPECT_THAT(times.back(), MatchesRegex("[0-9-]{10}T[0-9:]{8}")) << time;
  }
  EXPECT_TRUE(std::ranges::is_sorted(times)) << testing::PrintToString(times);
}

TEST_F(MigrationTest, StatusOfOneThatFails) {
  start_pod("cache");
  const json status = outcome(order("cache", {{"destination", "node-9"}}));
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_EQ(status.value("phase", ""), "Failed");
  EXPECT_EQ(status.value("reason", ""), "NotEligible");
  EXPECT_EQ(status.value("message", ""), "there is no node node-9");
  EXPECT_NE(status.value("completionTime", ""), "");
  ASSERT_EQ(status["conditions"].size(), 2U);
  EXPECT_EQ(status["conditions"][0].value("type", ""), "Eligible");
  EXPECT_EQ(status["conditions"][0].value("status", ""), "False");
  EXPECT_EQ(status["conditions"][1].value("type", ""), "Failed");
}

TEST_F(MigrationTest, PrinterColumns) {
  start_pod("cache");
  const std::string source = node_name_of("cache");
  const std::string name = order("cache");
  const json status = outcome(name);
  const std::string narrow = kubectl({"get", "migrations", name});
  EXPECT_TRUE(
      std::regex_search(narrow, std::regex("^NAME +POD +STATE +PHASE +FROM +TO +PAUSE-MS +REASON +AGE\n" + name +
                                           " +cache +Completed +Complete +" + source + " +" +
                                           status.value("destinationNode", "") + " +[0-9.]+ +Migrated +[0-9]+s\n$")))
      << narrow;
  const std::string wide = kubectl({"get", "migrations", name, "-o", "wide"});
  EXPECT_TRUE(std::regex_search(wide, std::regex("AGE +CLONE +ROUNDS +NETWORK +MESSAGE\n.* cache-clone-1 +[0-9]+ .*"
                                                 "pod cache runs on node node-[0-9] as cache-clone-1")))
      << wide;
}

TEST_F(MigrationTest, DescribeTellsTheStory) {
  start_pod("cache");
  const std::string name = order("cache");
  (void)outcome(name);
  (void)events(name, "MigrationFinished");
  const std::string story = kubectl({"describe", "migration", name, "-n", space_});
  // Events in the order in which they came.
  std::regex in_order("PreDumpFinished[^]*PreDumpSkipped[^]*PodCreateFinished[^]*MigrationFinished");
  EXPECT_TRUE(std::regex_search(story.substr(story.find("Events:")), in_order)) << story;
  EXPECT_THAT(story, AllOf(HasSubstr("Pause Ms:"), HasSubstr("Source Node:"), HasSubstr("Destination Node:"),
                           HasSubstr("Clone Name:"), HasSubstr("Rounds:"), HasSubstr("RequirementsMet")));
}

TEST_F(MigrationTest, DeletingOneThatRunsCancelsItAndThePodStays) {
  start_large_pod("cache");
  const std::string uid = uid_of("cache");
  const std::string source = node_name_of("cache");
  Clients clients(node(0), address_of("cache"), 6379, "stays");
  slow_links_down();
  const std::string name = order("cache");
  wait_for_phase(name, "Pre-dump");
  kubectl({"delete", "migration", name});
  expect_event(name, "MigrationFailed", "Failed", "pod cache stays on node " + source);
  EXPECT_TRUE(eventually(soon(), [&] { return pod_names() == std::vector<std::string>{"cache"}; }));
  EXPECT_EQ(uid_of("cache"), uid);
  EXPECT_EQ(restarts("cache"), 0);
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
}

// One that would copy for ever, because its memory changes faster than the link takes it.
TEST_F(MigrationTest, ChangingOptionsWhileItRunsTakesEffect) {
  start_pod("cache");
  const auto load = node(node_of("cache"))
                        .spawn({"redis-benchmark", "-h", address_of("cache"), "-t", "set", "-r", "50000", "-d", "1024",
                                "-n", "100000000", "-c", "4", "-q"},
                               {});
  ASSERT_TRUE(load) << load.error().message;
  slow_links_down();
  const std::string name = order("cache", {{"options", {{"iterations", 1000}, {"requestedFreezeTime", "1ms"}}}});
  wait_for_round(name);
  change(name, {{"iterations", 1}});
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  expect_event(name, "MigrationReconfigured", "Pre-dump", "\"iterations\":1");
  EXPECT_EQ(status.value("observedGeneration", 0), migration(name)["metadata"].value("generation", -1));
  EXPECT_LE(status.value("iterationsDone", 0), 6);
}

TEST_F(MigrationTest, ChangingWithTcpWhileItRunsTakesEffect) {
  start_large_pod("cache");
  const std::string address = address_of("cache");
  const auto waiter = node(other_node("cache")).spawn({"redis-cli", "-h", address, "blpop", "nothing", "0"}, {});
  ASSERT_TRUE(waiter) << waiter.error().message;
  EXPECT_TRUE(eventually(soon(), [&] { return connections_of("cache").contains("cmd=blpop"); }));
  slow_links_down();
  const std::string name = order("cache");
  wait_for_phase(name, "Pre-dump");
  change(name, {{"withTcp", false}});
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  EXPECT_EQ(status.value("networkMode", ""), "Preserve");
  EXPECT_EQ(address_of("cache-clone-1"), address);
  EXPECT_THAT(connections_of("cache-clone-1"), Not(HasSubstr("cmd=blpop")));
}

TEST_F(MigrationTest, ChangingNetworkModeWhileItRunsTakesEffect) {
  start_large_pod("cache");
  const std::string address = address_of("cache");
  kubectl({"exec", "cache", "--", "redis-cli", "set", "kept", "yes"});
  slow_links_down();
  const std::string name = order("cache");
  wait_for_phase(name, "Pre-dump");
  wait_for_copying(node_of("cache-clone-1"));
  const std::string place = uid_of("cache-clone-1");
  change(name, {{"networkMode", "Reconnect"}});
  expect_event(name, "MigrationReconfigured", "Pre-dump", "place is made anew");
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  EXPECT_EQ(status.value("networkMode", ""), "Reconnect");
  EXPECT_EQ(pod_names(), std::vector<std::string>{"cache-clone-1"});
  EXPECT_NE(uid_of("cache-clone-1"), place);
  EXPECT_NE(address_of("cache-clone-1"), address);
  EXPECT_EQ(restarts("cache-clone-1"), 0);
  EXPECT_EQ(kubectl({"exec", "cache-clone-1", "--", "redis-cli", "get", "kept"}), "yes\n");
}

}  // namespace
}  // namespace godwit
