// A Migration as two leaders after one another see it, and as its deletion ends it. The agents are not real, the API
// server is; the clone's kubelet is the test.
#include <gmock/gmock.h>

#include "cluster_objects.h"
#include "controller/controller.h"
#include "controller/finalizer.h"
#include "kube/informer.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using kube::text_at;
using testing::HasSubstr;

// Of a pod: more than half a processor.
const json takes_600m = {
    {"containers",
     json::array({json{{"name", "main"}, {"image", "none"}, {"resources", {{"requests", {{"cpu", "600m"}}}}}}})}};

struct MigrationsTest : ClusterTest {
  void SetUp() override {
    const json labels = {{api::labels::migration_enabled, "true"}, {"kubernetes.io/arch", "amd64"}};
    source = make_node(1, labels);
    destination = make_node(2, labels);
    make_pod("web", source, json::object(), {{"app", "web"}});
  }
  void lead() {
    controller.emplace(context, ControllerOptions{.migrations_max = 2});
    controller->start();
  }
  void follow_leader() {
    controller.reset();
    lead();
  }
  void has_one_cpu(const std::string& node) {
    const json status = {{"status", {{"allocatable", {{"cpu", "1"}, {"pods", "9"}}}}}};
    ASSERT_TRUE(
        succeeded(client.patch({kube::resources::nodes, "", node, "status"}, kube::PatchType::merge, status, soon())));
  }
  [[nodiscard]] kube::ObjectPath migration_path() const { return {api::migrations, space, "move", ""}; }
  void migrate(const std::string& pod = "web") { order("move", {{"podName", pod}, {"destination", destination}}); }
  void order(const std::string& name, const json& spec) {
    const json object = {{"apiVersion", api::migrations.api_version()},
                         {"kind", "Migration"},
                         {"metadata", {{"name", name}}},
                         {"spec", spec}};
    ASSERT_TRUE(succeeded(client.create({api::migrations, space, "", ""}, object, soon())));
  }
  json status() {
    const json object = get(migration_path());
    return object.is_null() ? json::object() : object.value("status", json::object());
  }
  std::string state() { return status().value("state", ""); }
  // Waits until the agent has its order and the controller has heard of the rounds.
  void wait_under_way() {
    ASSERT_TRUE(wait_until([&] { return agents.sessions().size() == 1; })) << status().dump();
    ASSERT_TRUE(wait_until([&] { return status().value("rounds", json::array()).size() == 2; })) << status().dump();
  }
  void finish_moved() {
    set_running("web-clone-1");
    agents.finish(agents.sessions().at(0), {.ok = true, .pause_ms = 42});
  }
  void expect_moved() {
    EXPECT_TRUE(get(pod_path("web")).is_null());
    EXPECT_EQ(labels_of(pod_path("web-clone-1"))["app"], "web");
    EXPECT_EQ(get(pod_path("web-clone-1"))["spec"]["nodeName"], destination);
  }
  void expect_stayed() {
    EXPECT_TRUE(get(pod_path("web-clone-1")).is_null());
    const json pod = get(pod_path("web"));
    ASSERT_FALSE(pod.is_null());
    EXPECT_EQ(pod["spec"]["nodeName"], source);
    EXPECT_FALSE(pod["metadata"].contains("deletionTimestamp"));
  }
  void remove_migration() { ASSERT_TRUE(succeeded(client.remove(migration_path(), {}, soon()))); }
  [[nodiscard]] bool migration_gone() { return get(migration_path()).is_null(); }
  // Reasons of all events about the Migration.
  std::vector<std::string> reasons() {
    events.flush(Deadline::after(seconds(5)));
    std::vector<std::string> all;
    for (const json& event : client.list_all(kube::resources::events, {.namespace_name = space}, soon()).value()) {
      all.push_back(text_at(event, "/reason"));
    }
    return all;
  }

  kube::EventRecorder events{client, {.source = {.controller = "live.cast.ai/controller", .instance = "test"}}};
  PlannedMoves moves;
  RunContext context{.client = client, .events = events, .agents = link, .moves = moves};
  std::string source;
  std::string destination;
  std::optional<Controller> controller;
};

TEST_F(MigrationsTest, OneThatEndsWellLeavesNothingBehind) {
  lead();
  migrate();
  wait_under_way();
  EXPECT_TRUE(has_finalizer(get(migration_path())));
  EXPECT_EQ(state(), "Running");
  finish_moved();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  EXPECT_EQ(status()["pauseMs"], 42);
  expect_moved();
  ASSERT_TRUE(wait_until([&] { return !has_finalizer(get(migration_path())); }));
  EXPECT_EQ(agents.orders(), 1);
}

TEST_F(MigrationsTest, ANodeWithoutRoomIsNoDestination) {
  make_pod("large", source, takes_600m);
  make_pod("neighbour", destination, takes_600m);
  has_one_cpu(destination);
  lead();
  migrate("large");
  ASSERT_TRUE(wait_until([&] { return state() == "Failed"; })) << status().dump();
  EXPECT_EQ(status()["reason"], "NotEligible");
  EXPECT_THAT(status().value("message", ""), HasSubstr("too little cpu: the pod requests 0.6, 0.4 of 1 are left"));
  EXPECT_EQ(agents.orders(), 0);
}

TEST_F(MigrationsTest, TwoAtTheSameTimeDoNotTakeTheSameRoom) {
  const std::string other = make_node(3, {{api::labels::migration_enabled, "true"}, {"kubernetes.io/arch", "amd64"}});
  for (const std::string& node : {destination, other}) has_one_cpu(node);
  for (const std::string name : {"one", "two"}) {
    make_pod(name, source, takes_600m);
    order(name, {{"podName", name}});
  }
  lead();
  const auto destination_of = [&](const std::string& name) {
    return text_at(get({api::migrations, space, name, ""}), "/status/destinationNode");
  };
  ASSERT_TRUE(wait_until([&] { return !destination_of("one").empty() && !destination_of("two").empty(); }));
  EXPECT_NE(destination_of("one"), destination_of("two"));
}

// Of two pods an owner deletes the one that is not Ready.
TEST_F(MigrationsTest, ACloneThatIsNotReadyIsHandedOverWhenItsSourceIsReleased) {
  const json service = {{"apiVersion", "v1"},
                        {"kind", "Service"},
                        {"metadata", {{"name", "web"}}},
                        {"spec", {{"selector", {{"app", "web"}}}, {"ports", json::array({json{{"port", 80}}})}}}};
  ASSERT_TRUE(succeeded(client.create({kube::resources::services, space, "", ""}, service, soon())));
  std::mutex mutex;
  std::vector<std::string> changes;
  kube::Informer pods(client, kube::resources::pods);
  pods.add_handler([&](const kube::Change& change) {
    const std::lock_guard lock(mutex);
    const bool released =
        change.now == nullptr || !kube::annotation_of(*change.now, "live.cast.ai/released-from").empty();
    if (change.key == space + "/web" && released) changes.emplace_back("released");
    if (change.key == space + "/web-clone-1" && change.now != nullptr && kube::label_of(*change.now, "app") == "web") {
      changes.emplace_back("handed over");
    }
  });
  pods.start();
  ASSERT_TRUE(pods.wait_synced(soon().deadline));
  context.ready_time = seconds(1);
  lead();
  migrate();
  wait_under_way();
  agents.finish(agents.sessions().at(0), {.ok = true, .pause_ms = 42});
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  expect_moved();
  ASSERT_TRUE(wait_until([&] {
    const std::lock_guard lock(mutex);
    return changes.size() >= 2;
  }));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(changes[0], "released");
  EXPECT_THAT(changes, testing::Contains("handed over"));
}

TEST_F(MigrationsTest, TheNextLeaderFollowsASessionUnderWay) {
  lead();
  migrate();
  wait_under_way();
  follow_leader();
  std::this_thread::sleep_for(seconds(2));
  EXPECT_EQ(state(), "Running");
  finish_moved();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  EXPECT_EQ(agents.orders(), 1) << "it was not begun twice";
  EXPECT_EQ(status()["rounds"].size(), 2U) << "what the earlier leader heard is not heard again";
  expect_moved();
}

TEST_F(MigrationsTest, TheNextLeaderTakesUpASessionThatEndedMeanwhile) {
  lead();
  migrate();
  wait_under_way();
  controller.reset();
  finish_moved();
  lead();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  expect_moved();
}

TEST_F(MigrationsTest, AnOrderForASessionThatExistsFollowsIt) {
  lead();
  migrate();
  wait_under_way();
  controller.reset();
  agents.overlook_once();  // an earlier leader's order that comes between the question and our own order
  lead();
  ASSERT_TRUE(wait_until([&] { return agents.orders() == 2; }));
  std::this_thread::sleep_for(seconds(1));
  EXPECT_EQ(state(), "Running") << status().dump();
  finish_moved();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  expect_moved();
}

TEST_F(MigrationsTest, ALeaderThatDiedBeforeTheOrderIsMadeGood) {
  agents.fall_silent(address(1));
  lead();
  migrate();
  ASSERT_TRUE(wait_until([&] { return !get(pod_path("web-clone-1")).is_null(); }));
  controller.reset();
  EXPECT_EQ(agents.orders(), 0);
  agents.answer(source, address(1));
  lead();
  ASSERT_TRUE(wait_until([&] { return agents.sessions().size() == 1; })) << status().dump();
  finish_moved();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
}

TEST_F(MigrationsTest, ALeaderThatDiedAfterTheSourceWasRemovedIsMadeGood) {
  lead();
  migrate();
  wait_under_way();
  controller.reset();
  finish_moved();
  ASSERT_TRUE(succeeded(client.remove(pod_path("web"), {.grace_period_s = 0}, soon())));
  lead();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  expect_moved();
}

TEST_F(MigrationsTest, ASourcesNodeThatHasForgottenEverythingDoesNotEndTheClone) {
  lead();
  migrate();
  wait_under_way();
  controller.reset();
  set_running("web-clone-1");
  agents.forget();
  lead();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  EXPECT_EQ(agents.orders(), 1) << "it is not begun anew";
  expect_moved();
}

TEST_F(MigrationsTest, OptionsThatChangeWhileItRunsTakeEffect) {
  lead();
  migrate();
  wait_under_way();
  const json changed = {{"spec", {{"options", {{"iterations", 3}, {"optimizeFor", "DumpTime"}}}}}};
  ASSERT_TRUE(succeeded(client.patch(migration_path(), kube::PatchType::merge, changed, soon())));
  ASSERT_TRUE(wait_until([&] { return agents.new_options().has_value(); }));
  EXPECT_EQ(agents.new_options()->iterations, 3U);
  EXPECT_TRUE(agents.new_options()->be_done_soon);
  ASSERT_TRUE(wait_until([&] { return std::ranges::count(reasons(), "MigrationReconfigured") == 1; }))
      << testing::PrintToString(reasons());
  finish_moved();
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  EXPECT_EQ(status()["observedGeneration"], 2);
  EXPECT_EQ(agents.orders(), 1) << "it was not begun anew";
}

TEST_F(MigrationsTest, AnotherNetworkModeWhileItRunsHasItBegunAnew) {
  lead();
  migrate();
  wait_under_way();
  const std::string first = agents.sessions().at(0);
  const std::string place = kube::uid_of(get(pod_path("web-clone-1")));
  const json changed = {{"spec", {{"options", {{"networkMode", "Reconnect"}}}}}};
  ASSERT_TRUE(succeeded(client.patch(migration_path(), kube::PatchType::merge, changed, soon())));
  ASSERT_TRUE(wait_until([&] { return agents.sessions().size() == 2; })) << status().dump();
  EXPECT_EQ(agents.cancellations(), 1);
  EXPECT_EQ(state(), "Running");
  EXPECT_NE(kube::uid_of(get(pod_path("web-clone-1"))), place);
  ASSERT_TRUE(wait_until([&] { return std::ranges::count(reasons(), "MigrationReconfigured") == 1; }));
  ASSERT_TRUE(wait_until([&] { return status().value("rounds", json::array()).size() == 2; })) << status().dump();
  const auto sessions = agents.sessions();
  const std::string second = sessions[0] == first ? sessions[1] : sessions[0];
  set_running("web-clone-1");
  agents.finish(second, {.ok = true, .pause_ms = 42});
  ASSERT_TRUE(wait_until([&] { return state() == "Completed"; })) << status().dump();
  expect_moved();
}

TEST_F(MigrationsTest, ItsDeletionCancelsIt) {
  lead();
  migrate();
  wait_under_way();
  remove_migration();
  ASSERT_TRUE(wait_until([&] { return migration_gone(); })) << get(migration_path()).dump();
  EXPECT_GE(agents.cancellations(), 1);
  expect_stayed();
  EXPECT_THAT(reasons(), testing::Contains("MigrationFailed"));
}

TEST_F(MigrationsTest, ADeletionAfterTheHandOverComesTooLate) {
  agents.set_handed_over(true);
  lead();
  migrate();
  wait_under_way();
  remove_migration();
  ASSERT_TRUE(wait_until([&] { return agents.cancellations() >= 1; }));
  EXPECT_FALSE(migration_gone()) << "its end is waited for";
  finish_moved();
  ASSERT_TRUE(wait_until([&] { return migration_gone(); })) << get(migration_path()).dump();
  expect_moved();
}

TEST_F(MigrationsTest, ADeletionWhileNobodyLeadsIsSeenByTheNextLeader) {
  lead();
  migrate();
  wait_under_way();
  controller.reset();
  remove_migration();
  EXPECT_FALSE(migration_gone()) << "somebody must clear up first";
  lead();
  ASSERT_TRUE(wait_until([&] { return migration_gone(); })) << get(migration_path()).dump();
  EXPECT_GE(agents.cancellations(), 1);
  expect_stayed();
}

TEST_F(MigrationsTest, ADeletionBeforeTheAgentHasItsOrderCancelsItToo) {
  agents.fall_silent(address(1));
  lead();
  migrate();
  ASSERT_TRUE(wait_until([&] { return !get(pod_path("web-clone-1")).is_null(); }));
  remove_migration();
  std::this_thread::sleep_for(seconds(1));
  EXPECT_FALSE(migration_gone()) << "nobody knows whether the agent has it";
  agents.answer(source, address(1));
  ASSERT_TRUE(wait_until([&] { return migration_gone(); })) << get(migration_path()).dump();
  expect_stayed();
}

TEST_F(MigrationsTest, APodOfTheClonesNameIsNobodysClone) {
  make_pod("web-clone-1", destination, json::object(), {{"app", "other"}});
  const std::string uid = kube::uid_of(get(pod_path("web-clone-1")));
  lead();
  migrate();
  ASSERT_TRUE(wait_until([&] { return state() == "Failed"; })) << status().dump();
  EXPECT_THAT(status().value("message", ""), HasSubstr("there is another pod named web-clone-1"));
  EXPECT_EQ(kube::uid_of(get(pod_path("web-clone-1"))), uid);
  EXPECT_EQ(agents.orders(), 0);
}

}  // namespace
}  // namespace godwit::controller
