// What the live controller costs with 10 000 pods on 1000 nodes, and how soon it sees a change among them.
#include <atomic>
#include <cstdio>

#include "cluster_objects.h"
#include "kube/json_path.h"
#include "replica.h"

namespace godwit::controller {
namespace {

constexpr int node_count = 1000;
constexpr int pod_count = 10'000;
constexpr int makers = 4;
constexpr long memory_kb_max = 200'000;

std::string node_name(int number) {
  return fmt::format("node-{:04}", number);
}
std::string node_address(int number) {
  return fmt::format("127.1.{}.{}", number / 250, 1 + number % 250);
}

json node(int number) {
  return {
      {"apiVersion", "v1"},
      {"kind", "Node"},
      {"metadata", {{"name", node_name(number)}, {"labels", {{"pool", "scale"}, {"kubernetes.io/arch", "amd64"}}}}}};
}

// A service with a dozen settings: some 3 KB, and the server adds defaults and managed fields.
json pod(int number) {
  json environment = json::array();
  for (int i = 0; i < 24; ++i) {
    environment.push_back({{"name", fmt::format("SETTING_{}", i)}, {"value", fmt::format("value-{}-{}", number, i)}});
  }
  const json container = {
      {"name", "main"},
      {"image", "registry.example.com/team/service@sha256:" + std::string(64, 'a')},
      {"env", environment},
      {"ports", {{{"containerPort", 8080}, {"name", "http"}}}},
      {"readinessProbe", {{"httpGet", {{"path", "/ready"}, {"port", 8080}}}}},
      {"livenessProbe", {{"httpGet", {{"path", "/live"}, {"port", 8080}}}}},
      {"resources", {{"requests", {{"cpu", "100m"}, {"memory", "128Mi"}}}, {"limits", {{"memory", "256Mi"}}}}}};
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", fmt::format("service-7d4b8c9f5b-{:05}", number)},
            {"labels", {{"app", "service"}, {"pod-template-hash", "7d4b8c9f5b"}, {"team", "platform"}}},
            {"annotations", {{"checksum/config", std::string(64, 'c')}}}}},
          {"spec",
           {{"nodeName", node_name(number % node_count)},
            {"runtimeClassName", api::runtime_class},
            {"containers", {container}}}}};
}

struct ControllerScaleTest : ClusterTest {
  // Calls `make` for 0 to count - 1, on some threads.
  static void make_many(int count, const std::function<void(kube::Client&, int)>& make) {
    std::atomic<int> next = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < makers; ++i) {
      threads.emplace_back([&] {
        kube::Client own(kube::control_plane().access());
        for (int number = next++; number < count; number = next++) make(own, number);
      });
    }
  }
  void make_cluster() {
    make_many(node_count, [&](kube::Client& own, int number) {
      EXPECT_TRUE(succeeded(own.create(node_path(""), node(number), soon())));
      const json status = {{"status",
                            {{"addresses", {{{"type", "InternalIP"}, {"address", node_address(number)}}}},
                             {"conditions", {{{"type", "Ready"}, {"status", "True"}}}}}}};
      EXPECT_TRUE(succeeded(own.patch({kube::resources::nodes, "", node_name(number), "status"}, kube::PatchType::merge,
                                      status, soon())));
      agents.answer(node_name(number), node_address(number));
    });
    const json status = {{"status",
                          {{"phase", "Running"},
                           {"podIP", "10.0.0.1"},
                           {"containerStatuses",
                            {{{"name", "main"},
                              {"image", "none"},
                              {"imageID", ""},
                              {"ready", true},
                              {"restartCount", 0},
                              {"state", {{"running", {{"startedAt", "2024-05-01T12:00:00Z"}}}}}}}}}}};
    make_many(pod_count, [&](kube::Client& own, int number) {
      const json object = pod(number);
      EXPECT_TRUE(succeeded(own.create(pod_path(""), object, soon())));
      EXPECT_TRUE(succeeded(own.patch({kube::resources::pods, space, kube::name_of(object), "status"},
                                      kube::PatchType::merge, status, soon())));
    });
  }
  // How many of the pods have the label; -1: the server is too busy to say.
  int64_t labelled() {
    int64_t found = 0;
    const kube::ListOptions with_label{.namespace_name = space,
                                       .label_selector = std::string(api::labels::migration_enabled) + "=true"};
    const kube::ChunkSink add = [&](const json::array_t& items, bool first) {
      found = (first ? 0 : found) + static_cast<int64_t>(items.size());
    };
    return client.list(kube::resources::pods, with_label, add, kube::within(seconds(60))) ? found : -1;
  }
  static size_t count(const char* verb, const char* resource = "") {
    return kube::control_plane().requests({.verb = verb, .resource = resource});
  }
};

TEST_F(ControllerScaleTest, TenThousandPodsAndAThousandNodes) {
  leaves_objects = true;
  make_cluster();
  ASSERT_FALSE(HasFailure());
  make_template("scale",
                {{"nodeSelector", {{"matchLabels", {{"pool", "scale"}}}}}, {"liveMigration", {{"enabled", true}}}});
  const size_t lists_before = count("list");
  const auto began = Clock::now();
  Replica replica(authority, space, "controller");
  // One more pod, while thousands wait for their label.
  ASSERT_TRUE(wait_until([&] { return enabled(pod_path(kube::name_of(pod(0)))); }, seconds(60)));
  make_pod("amid", node_name(7));
  auto changed = Clock::now();
  EXPECT_TRUE(wait_until([&] { return enabled(pod_path("amid")); }, seconds(60)));
  const double new_ms = elapsed_ms(changed);
  std::printf("a new pod's label after %.0f ms, with %ld others still without one\n", new_ms,
              static_cast<long>(pod_count + 1 - labelled()));
  EXPECT_LT(new_ms, 10'000);
  ASSERT_TRUE(wait_until(
      [&] {
        std::this_thread::sleep_for(seconds(4));
        return labelled() == pod_count + 1;
      },
      seconds(300)))
      << labelled() << " pods have it";
  const double all_ms = elapsed_ms(began);
  std::printf("all %d nodes asked and %d pods labelled in %.0f s, with %.1f s of CPU time\n", node_count, pod_count,
              all_ms / 1000, replica.cpu_s());

  // A change of one pod among them, and of one node.
  const std::string one = kube::name_of(pod(4711));
  changed = Clock::now();
  label(pod_path(one), api::labels::migration_disabled, "true");
  EXPECT_TRUE(wait_until([&] { return !enabled(pod_path(one)); }, seconds(30)));
  std::printf("a pod's label after %.0f ms\n", elapsed_ms(changed));
  EXPECT_LT(elapsed_ms(changed), 10'000);
  const std::string other = kube::name_of(pod(1234));
  changed = Clock::now();
  set_ready(node_name(1234 % node_count), false);
  EXPECT_TRUE(wait_until([&] { return !enabled(pod_path(other)); }, seconds(30)));
  std::printf("the labels of a node's pods after %.0f ms\n", elapsed_ms(changed));
  EXPECT_LT(elapsed_ms(changed), 10'000);

  // Quiet: nothing is written, nothing is listed, agents are asked.
  std::this_thread::sleep_for(seconds(5));
  const size_t patches = count("patch");
  const double cpu = replica.cpu_s();
  const int questions = agents.questions();
  std::this_thread::sleep_for(seconds(20));
  std::printf("quiet: %.1f %% of a CPU, %.0f agents asked a second\n", (replica.cpu_s() - cpu) * 5,
              (agents.questions() - questions) / 20.0);
  // Its own Lease is patched once a second.
  EXPECT_LT(count("patch") - patches, 30U);

  const size_t lists = count("list");
  kube::control_plane().kill_server();
  ASSERT_TRUE(kube::succeeded(kube::control_plane().start_server()));
  const auto back = Clock::now();
  label(pod_path(one), api::labels::migration_disabled, nullptr);
  EXPECT_TRUE(wait_until([&] { return enabled(pod_path(one)); }, seconds(60))) << replica.log();
  std::printf("after a restart of the API server: a pod's label after %.0f ms\n", elapsed_ms(back));
  const auto memory_kb = replica.status_kb("VmHWM");
  std::printf("memory: %ld MiB, at the most %ld MiB; lists: %zu requests at the start, %zu after the restart\n",
              replica.status_kb("VmRSS") >> 10, memory_kb >> 10, lists - lists_before, count("list") - lists);
  EXPECT_LT(count("list") - lists, 50U) << "each resource once, in chunks of 500";
  EXPECT_LT(memory_kb, memory_kb_max);
}

}  // namespace
}  // namespace godwit::controller
