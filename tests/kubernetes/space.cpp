#include "space.h"

#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "cluster/layout.h"
#include "lab/layout.h"
#include "os/file.h"

namespace godwit::cluster {

std::string kubernetes_folder() {
  const char* other = std::getenv("GODWIT_KUBERNETES");
  return other == nullptr || *other == '\0' ? lab::built("kubernetes") : other;
}

std::string missing_parts() {
  if (::geteuid() != 0) return "it needs root";
  for (const auto& [path, target] : {std::pair{kubernetes_folder(), "kubernetes"},
                                     {lab::built("cluster-image"), "cluster-image"},
                                     {lab::built("container-images"), "container-images"}}) {
    if (!os::exists(path)) return fmt::format("there is no {}: `make {}` builds it", path, target);
  }
  return "";
}

bool eventually(Deadline deadline, const std::function<bool()>& holds) {
  while (!holds()) {
    if (deadline.expired()) return false;
    std::this_thread::sleep_for(milliseconds(100));
  }
  return true;
}

void SpaceTest::open_space(Cluster& cluster) {
  static int count = 0;
  cluster_ = &cluster;
  space_ = fmt::format("test-{}", ++count);
  const auto made = cluster_->kubectl({"create", "namespace", space_}, soon());
  ASSERT_TRUE(made) << made.error().message;
  ASSERT_TRUE(eventually(soon(), [&] { return try_kubectl({"get", "serviceaccount", "default"}).has_value(); }));
}

void SpaceTest::TearDown() {
  if (cluster_ == nullptr) return;
  if (HasFailure()) {
    fmt::print("{}\n", try_kubectl({"get", "pods,events", "-o", "wide"}).value_or("(no answer)"));
  }
  // Kubernetes removes the rest while the next test runs.
  (void)cluster_->kubectl({"delete", "namespace", space_, "--wait=false"}, soon());
}

std::optional<std::string> SpaceTest::try_kubectl(const std::vector<std::string>& arguments, Deadline deadline) const {
  std::vector<std::string> all = {"--namespace", space_};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto answer = cluster().kubectl(all, deadline);
  if (!answer) return std::nullopt;
  return std::move(*answer);
}

std::string SpaceTest::kubectl(const std::vector<std::string>& arguments, Deadline deadline) const {
  std::vector<std::string> all = {"--namespace", space_};
  all.insert(all.end(), arguments.begin(), arguments.end());
  auto answer = cluster().kubectl(all, deadline);
  EXPECT_TRUE(answer) << "kubectl " << testing::PrintToString(arguments) << ": " << answer.error().message;
  return answer.value_or("");
}

json SpaceTest::get(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all = {"get", "-o", "json"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return json::parse(kubectl(all), nullptr, false);
}

void SpaceTest::apply(const std::string& manifest) const {
  // Namespaced objects that name no namespace go to the test's.
  const std::string path = "/tmp/" + space_ + ".yaml";
  ASSERT_TRUE(os::write_file_atomic(cluster().place(control_plane).root_path() + path, manifest));
  kubectl({"apply", "-f", path});
}

void SpaceTest::apply_migration(const std::string& name, json spec) const {
  apply(json{{"apiVersion", "live.cast.ai/v1"},
             {"kind", "Migration"},
             {"metadata", {{"name", name}}},
             {"spec", std::move(spec)}}
            .dump());
}

// One watch, because asking again and again would take the processors from what the test is about.
json SpaceTest::finished_migration(const std::string& name) const {
  kubectl({"wait", "migration/" + name, "--for=jsonpath={.status.completionTime}", "--timeout=150s"},
          Deadline::after(std::chrono::seconds(160)));
  json migration = get({"migration", name});
  const std::string state = migration.value("/status/state"_json_pointer, "");
  EXPECT_TRUE(state == "Completed" || state == "Failed") << migration.dump(1);
  return migration;
}

}  // namespace godwit::cluster
