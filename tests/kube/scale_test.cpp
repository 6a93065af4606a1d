// What an informer costs with 10 000 pods.
#include <gtest/gtest.h>

#include <atomic>
#include <sstream>

#include "objects.h"

namespace godwit::kube {
namespace {

constexpr int pods = 10'000;
constexpr int makers = 4;

// As a Deployment of a service with a sidecar has it: some 3.5 KB, and the server adds defaults and managed fields.
json pod(int number) {
  json environment = json::array();
  for (int i = 0; i < 12; ++i) {
    environment.push_back({{"name", fmt::format("SETTING_{}", i)}, {"value", fmt::format("value-{}-{}", number, i)}});
  }
  const auto container = [&](const char* name) -> json {
    return {{"name", name},
            {"image", "registry.example.com/team/service@sha256:" + std::string(64, 'a')},
            {"env", environment},
            {"ports", {{{"containerPort", 8080}, {"name", "http"}}}},
            {"readinessProbe", {{"httpGet", {{"path", "/ready"}, {"port", 8080}}}}},
            {"livenessProbe", {{"httpGet", {{"path", "/live"}, {"port", 8080}}}}},
            {"resources", {{"requests", {{"cpu", "100m"}, {"memory", "128Mi"}}}, {"limits", {{"memory", "256Mi"}}}}},
            {"volumeMounts", {{{"name", "config"}, {"mountPath", "/etc/config"}}}}};
  };
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata",
           {{"name", fmt::format("service-7d4b8c9f5b-{:05}", number)},
            {"labels", {{"app", "service"}, {"pod-template-hash", "7d4b8c9f5b"}, {"team", "platform"}}},
            {"annotations", {{"prometheus.io/scrape", "true"}, {"checksum/config", std::string(64, 'c')}}}}},
          {"spec",
           {{"nodeName", fmt::format("node-{}", number % 1000)},
            {"automountServiceAccountToken", false},
            {"volumes", {{{"name", "config"}, {"configMap", {{"name", "config"}}}}}},
            {"containers", {container("service"), container("sidecar")}}}}};
}

void make_pods(const std::string& space) {
  Client client(control_plane().access());
  std::atomic<int> next = 0;
  std::atomic<int> failed = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < makers; ++i) {
    threads.emplace_back([&] {
      for (int number = next++; number < pods; number = next++) {
        const auto made = client.create({resources::pods, space, "", ""}, pod(number), soon());
        if (!made && failed++ == 0) ADD_FAILURE() << made.error().message;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(failed, 0);
}

TEST(ScaleTest, TenThousandPodsFitIntoTwoHundredMegabytes) {
  Client client(control_plane().access());
  make_pods(make_namespace(client, "scale"));
  const auto followed = os::run_checked({.argv = {KUBE_TEST_PROGRAM, "follow", control_plane().kubeconfig()}},
                                        Deadline::after(seconds(60)));
  ASSERT_TRUE(followed.has_value()) << followed.error().message;
  std::istringstream figures(*followed);
  int found = 0;
  int64_t rss_kb = 0;
  int64_t peak_kb = 0;
  int64_t list_ms = 0;
  ASSERT_TRUE(figures >> found >> rss_kb >> peak_kb >> list_ms) << *followed;
  RecordProperty("rss_kb", static_cast<int>(rss_kb));
  std::printf("10000 pods: %ld MiB, at the most %ld MiB, listed in %ld ms\n", rss_kb >> 10, peak_kb >> 10, list_ms);
  EXPECT_EQ(found, pods);
  EXPECT_LT(peak_kb, 200'000);
}

}  // namespace
}  // namespace godwit::kube
