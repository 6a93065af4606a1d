#include "fixture.h"

#include <unistd.h>

#include <filesystem>
#include <map>
#include <memory>

#include "../lab/traces.h"

namespace godwit::cluster {
namespace {

std::map<NetworkMode, std::unique_ptr<Cluster>>& shared_clusters() {
  static std::map<NetworkMode, std::unique_ptr<Cluster>> clusters;
  return clusters;
}

// Ends the clusters while their failures can still be told.
class Ending : public testing::Environment {
  void TearDown() override {
    for (auto& [mode, cluster] : shared_clusters()) {
      const std::string name = cluster->name();
      const auto namespaces = lab::namespaces_of(cluster->lab());
      const auto stopped = cluster->stop();
      EXPECT_TRUE(stopped) << stopped.error().message;
      EXPECT_THAT(lab::traces_after(soon(), name, namespaces), testing::IsEmpty());
    }
    shared_clusters().clear();
  }
};
// Owned by GoogleTest.
[[maybe_unused]] testing::Environment* const ending = testing::AddGlobalTestEnvironment(new Ending);

}  // namespace

void ClusterTest::use(NetworkMode mode) {
  std::unique_ptr<Cluster>& shared = shared_clusters()[mode];
  if (!shared) {
    auto started = Cluster::start({.network = mode, .dual_stack = mode == NetworkMode::routed});
    if (!started) {
      shared_clusters().erase(mode);
      FAIL() << started.error().message;
    }
    shared = std::make_unique<Cluster>(std::move(*started));
  }
  open_space(*shared);
}

void ClusterTest::wait_for_pods(const std::string& selector) const {
  // An owner may not have made them yet.
  ASSERT_TRUE(eventually(soon(), [&] { return !names_of(selector).empty(); })) << "no pods " << selector;
  kubectl({"wait", "--for=condition=Ready", "pod", "-l", selector, "--timeout=80s"});
}

bool ClusterTest::node_has(int node, const std::string& condition, const std::string& status) const {
  const std::string path = fmt::format("jsonpath={{.status.conditions[?(@.type==\"{}\")].status}}", condition);
  return try_kubectl({"get", "node", lab::place_name(node), "-o", path}) == status;
}

void ClusterTest::start_web_servers(int replicas) const {
  apply(fmt::format(R"(
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 1
      topologySpreadConstraints:
      - {{maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway,
         labelSelector: {{matchLabels: {{app: web}}}}}}
      containers:
      - name: web
        image: godwit.test/tiny:1
        imagePullPolicy: Never
        command: [sh, -c, "hostname >/tmp/index.html; exec httpd -f -p 80 -h /tmp"]
        readinessProbe: {{httpGet: {{port: 80, path: /index.html}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec: {{selector: {{app: web}}, type: NodePort, ports: [{{port: 80}}]}}
)",
                    replicas));
  kubectl({"rollout", "status", "deployment", "web", "--timeout=80s"});
}

std::string ClusterTest::fetch(const std::string& pod, const std::string& url) const {
  std::string text = try_kubectl({"exec", pod, "--", "wget", "-q", "-T", "2", "-O", "-", url}).value_or("");
  return text.substr(0, text.find('\n'));
}

std::string ClusterTest::fetch_outside(const std::string& url) const {
  const auto got = cluster().lab().outside().exec({"curl", "--silent", "--globoff", "--max-time", "2", url}, soon());
  return got && got->status == 0 ? got->text.substr(0, got->text.find('\n')) : "";
}

std::vector<std::string> ClusterTest::names_of(const std::string& selector) const {
  std::istringstream words(
      try_kubectl({"get", "pods", "-l", selector, "-o", "jsonpath={.items[*].metadata.name}"}).value_or(""));
  std::vector<std::string> names;
  for (std::string name; words >> name;) names.push_back(name);
  return names;
}

}  // namespace godwit::cluster
