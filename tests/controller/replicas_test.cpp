// Two replicas of the real program.
#include <fcntl.h>
#include <signal.h>

#include "cluster_objects.h"
#include "controller/live_controller.h"
#include "kube/json_path.h"
#include "replica.h"

namespace godwit::controller {
namespace {

struct ReplicasTest : ClusterTest {
  std::string holder() {
    return kube::text_at(get({kube::resources::leases, space, lease_name, ""}), "/spec/holderIdentity");
  }
  void make_pool() {
    make_template(test_name,
                  {{"nodeSelector", {{"matchLabels", {{"pool", test_name}}}}}, {"liveMigration", {{"enabled", true}}}});
  }
};

TEST_F(ReplicasTest, WhenTheLeaderIsKilledTheOtherTakesOverWithinSeconds) {
  const std::string node = make_node(1, {{"pool", test_name}, {"kubernetes.io/arch", "amd64"}});
  const std::string other = make_node(2, {{"pool", test_name}, {"kubernetes.io/arch", "amd64"}});
  make_pool();
  make_pod("web", node);
  Replica first(authority, space, "first");
  ASSERT_TRUE(wait_until([&] { return !holder().empty() && enabled(pod_path("web")); })) << first.log();
  const std::string leader = holder();
  Replica second(authority, space, "second");
  ASSERT_TRUE(wait_until([&] { return second.log().find("its Lease is") != std::string::npos; }));
  const json migration = {{"apiVersion", api::migrations.api_version()},
                          {"kind", "Migration"},
                          {"metadata", {{"name", "move"}}},
                          {"spec", {{"podName", "web"}}}};
  ASSERT_TRUE(succeeded(client.create({api::migrations, space, "", ""}, migration, soon())));
  ASSERT_TRUE(wait_until([&] { return agents.sessions().size() == 1; })) << first.log();
  EXPECT_EQ(holder(), leader) << "the second one waits";

  first.kill();
  const auto killed = Clock::now();
  ASSERT_TRUE(wait_until([&] { return holder() != leader; }));
  const double taken_over_ms = elapsed_ms(killed);
  // What the new leader must see by itself.
  make_pod("late", other);
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("late")); })) << second.log();
  const double labelled_ms = elapsed_ms(killed);
  std::printf("a killed leader: the Lease taken over after %.0f ms, a pod labelled after %.0f ms\n", taken_over_ms,
              labelled_ms);
  EXPECT_LT(taken_over_ms, 14'000);
  EXPECT_LT(labelled_ms, 20'000);
  set_running("web-clone-1");
  agents.finish(agents.sessions().at(0), {.ok = true, .pause_ms = 7});
  ASSERT_TRUE(wait_until([&] {
    return kube::text_at(get({api::migrations, space, "move", ""}), "/status/state") == "Completed";
  })) << second.log();
  EXPECT_EQ(agents.orders(), 1);
}

TEST_F(ReplicasTest, ALeaderThatASlowServerCostTheLeadGoesOnWithWhatItKnows) {
  const std::string node = make_node(1, {{"pool", test_name}, {"kubernetes.io/arch", "amd64"}});
  make_node(2, {{"pool", test_name}, {"kubernetes.io/arch", "amd64"}});
  make_pool();
  make_pod("web", node);
  Replica replica(authority, space, "only");
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("web")); })) << replica.log();
  const auto lists = [](const char* resource) {
    return kube::control_plane().requests({.verb = "list", .resource = resource});
  };
  const size_t nodes_before = lists("nodes");
  const size_t pods_before = lists("pods");

  kube::control_plane().suspend_server();
  const bool lost = wait_until([&] { return replica.log().find("no longer leading") != std::string::npos; });
  kube::control_plane().resume_server();
  ASSERT_TRUE(lost) << replica.log();
  make_pod("late", node);
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path("late")); })) << replica.log();
  // What was judged before is judged again by the new term, of what the replica has kept.
  label(pod_path("web"), api::labels::migration_disabled, "true");
  ASSERT_TRUE(wait_until([&] { return !enabled(pod_path("web")); })) << replica.log();
  EXPECT_EQ(lists("nodes"), nodes_before);
  EXPECT_EQ(lists("pods"), pods_before);
}

TEST_F(ReplicasTest, ALeaderThatIsToldToEndGivesTheLeadAtOnce) {
  const std::string node = make_node(1, {{"pool", test_name}});
  make_pool();
  Replica first(authority, space, "first");
  ASSERT_TRUE(wait_until([&] { return enabled(node_path(node)); })) << first.log();
  const std::string leader = holder();
  Replica second(authority, space, "second");
  ASSERT_TRUE(wait_until([&] { return second.log().find("its Lease is") != std::string::npos; }));
  std::this_thread::sleep_for(seconds(2));
  EXPECT_EQ(holder(), leader);
  const auto asked = Clock::now();
  EXPECT_EQ(first.end(), 0) << first.log();
  EXPECT_LT(elapsed_ms(asked), 8000);
  ASSERT_TRUE(wait_until([&] { return !holder().empty() && holder() != leader; }));
  EXPECT_LT(elapsed_ms(asked), 12'000);
  EXPECT_TRUE(enabled(node_path(node))) << "labels stay while the lead changes";
}

}  // namespace
}  // namespace godwit::controller
