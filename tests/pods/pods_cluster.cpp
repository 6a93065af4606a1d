#include "pods_cluster.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <sstream>
#include <thread>

#include "cluster/faults.h"
#include "cluster/layout.h"
#include "os/file.h"

namespace godwit {
namespace {

constexpr const char* programs = "/opt/godwit/bin";  // of this build, as nodes see it
using cluster::control_plane;

struct Installed {
  std::unique_ptr<cluster::Cluster> cluster;
  std::vector<os::Subprocess> agents;  // by node
  std::optional<os::Subprocess> controller;
  int admission_port = 9443;  // of the controller; another one's beside it is the next
};

std::map<cluster::NetworkMode, Installed>& clusters() {
  static std::map<cluster::NetworkMode, Installed> all;
  return all;
}

class Ending : public testing::Environment {
  void TearDown() override {
    for (auto& [mode, all] : clusters()) {
      all.controller.reset();
      all.agents.clear();
      const auto stopped = all.cluster ? all.cluster->stop() : Result<>();
      EXPECT_TRUE(stopped) << stopped.error().message;
      all.cluster.reset();
    }
  }
};
// Owned by GoogleTest.
[[maybe_unused]] testing::Environment* const ending = testing::AddGlobalTestEnvironment(new Ending);

std::string log_of(const std::string& what) {
  return testing::TempDir() + "godwit-pods-" + std::to_string(::getpid()) + "-" + what + ".log";
}

// Of a range of the plugin host-local only the first few.
void limit_range(json& range) {
  const std::string subnet = range.value("subnet", "");
  const std::string first = range.value("rangeStart", subnet.substr(0, subnet.rfind('.')) + ".2");
  const size_t last_part = first.rfind('.') + 1;
  range["rangeStart"] = first;
  range["rangeEnd"] =
      first.substr(0, last_part) + std::to_string(std::stoi(first.substr(last_part)) + addresses_per_node - 1);
}

// Puts godwit-cni before the plugin that the network has.
Result<> wrap_network(const lab::Node& node) {
  const std::string folder = node.root_path() + "/etc/cni/net.d/";
  GODWIT_ASSIGN(const std::vector<std::string> files, os::list_directory(folder));
  for (const std::string& file : files) {
    if (!file.ends_with(".conflist")) continue;
    GODWIT_ASSIGN(const std::string text, os::read_file(folder + file));
    json list = json::parse(text);
    json& first = list["plugins"][0];
    if (first.value("type", "") == "godwit-cni") continue;
    for (json& range : first["ipam"]["ranges"][0]) limit_range(range);
    first = {
        {"type", "godwit-cni"}, {"capabilities", {{"io.kubernetes.cri.pod-annotations", true}}}, {"delegate", first}};
    GODWIT_TRY(os::write_file_atomic(folder + file, list.dump(), 0644));
  }
  GODWIT_TRY(
      node.exec_checked({"ln", "-sf", std::string(programs) + "/godwit-cni", "/usr/lib/cni/godwit-cni"}, soon()));
  return {};
}

Result<os::Subprocess> spawn_agent(const lab::Node& node) {
  return node.spawn(
      {std::string(programs) + "/godwit-agent", "--node", node.name(), "--runc-root", "/run/containerd/runc/k8s.io"},
      {.log_path = log_of(node.name())});
}

Result<os::Subprocess> spawn_controller(const Installed& all) {
  const lab::Node& place = all.cluster->place(control_plane);
  return place.spawn(
      {std::string(programs) + "/godwit-controller", "--kubeconfig", "/etc/kubernetes/admin.conf", "--certificate",
       "/etc/godwit/node.pem", "--key", "/etc/godwit/node.key", "--admission-address", place.address(),
       "--admission-port", std::to_string(all.admission_port), "--address-interval", "1"},
      {.log_path = log_of("controller")});
}

// What a node loses with its processes.
Result<> prepare_network(const lab::Node& node) {
  GODWIT_TRY(wrap_network(node));
  // Nodes of a lab have no default route, by which a node itself would reach Services.
  GODWIT_TRY(node.exec_checked({"ip", "route", "replace", cluster::service_range, "dev", "br0"}, soon()));
  return {};
}

// All nodes are enabled, but for one that may be named.
std::string node_template(const std::string& without) {
  json expressions = json::array({{{"key", "kubernetes.io/hostname"}, {"operator", "Exists"}}});
  if (!without.empty()) {
    expressions.push_back({{"key", "kubernetes.io/hostname"}, {"operator", "NotIn"}, {"values", {without}}});
  }
  return json{{"apiVersion", "live.cast.ai/v1"},
              {"kind", "NodeTemplate"},
              {"metadata", {{"name", "all"}}},
              {"spec", {{"nodeSelector", {{"matchExpressions", expressions}}}, {"liveMigration", {{"enabled", true}}}}}}
      .dump();
}

Result<> install(cluster::NetworkMode mode) {
  Installed& all = clusters()[mode];
  GODWIT_ASSIGN(
      cluster::Cluster started,
      cluster::Cluster::start({.nodes = 3, .network = mode, .live_runtime = std::string(programs) + "/godwit-runc"}));
  all.cluster = std::make_unique<cluster::Cluster>(std::move(started));
  for (int i = 1; i <= all.cluster->node_count(); ++i) {
    const lab::Node& node = all.cluster->place(i);
    GODWIT_TRY(prepare_network(node));
    GODWIT_ASSIGN(os::Subprocess agent, spawn_agent(node));
    all.agents.push_back(std::move(agent));
  }
  for (const char* name : {"migrations", "nodetemplates"}) {
    GODWIT_ASSIGN(const std::string manifest,
                  os::read_file(fmt::format("{}/deploy/helm/godwit/definitions/{}.yaml", GODWIT_SOURCE, name)));
    GODWIT_TRY(all.cluster->apply(manifest, patient()));
  }
  GODWIT_TRY(all.cluster->kubectl(
      {"wait", "--for=condition=Established", "crd/migrations.live.cast.ai", "crd/nodetemplates.live.cast.ai"},
      patient()));
  GODWIT_TRY(all.cluster->apply(node_template(""), patient()));
  GODWIT_ASSIGN(all.controller, spawn_controller(all));
  return {};
}

}  // namespace

ClientProgram::ClientProgram(const lab::Node& place, const std::string& script,
                             const std::vector<std::string>& arguments, const std::string& name,
                             const std::string& netns)
    : log_(log_of("clients-" + name)) {
  ::unlink(log_.c_str());
  const auto program = os::read_file(GODWIT_SOURCE "/tests/pods/" + script);
  std::vector<std::string> command = {"python3", "-c", program.value()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  if (!netns.empty()) command.insert(command.begin(), {"ip", "netns", "exec", netns});
  auto process = place.spawn(command, {.log_path = log_});
  if (!process) {
    ADD_FAILURE() << process.error().message;
    return;
  }
  process_.emplace(std::move(*process));
  for (const Deadline deadline = patient(); !deadline.expired();) {
    if (os::read_file(log_).value_or("").starts_with("started")) return;
    std::this_thread::sleep_for(milliseconds(20));
  }
  ADD_FAILURE() << "the clients did not start";
}

json ClientProgram::report() {
  if (!process_) return json::object();
  ::kill(process_->pid(), SIGTERM);
  const auto ended = process_->wait(Deadline::after(seconds(40)));
  EXPECT_TRUE(ended) << "the clients do not end";
  process_.reset();
  const std::string text = os::read_file(log_).value_or("");
  ::unlink(log_.c_str());
  const json report = json::parse(text.substr(std::min(text.find('{'), text.size())), nullptr, false);
  EXPECT_TRUE(report.is_object()) << text;
  return report.is_object() ? report : json::object();
}

void PodsTest::SetUp() {
  SKIP_WITHOUT_CLUSTER_PARTS();
  if (!clusters()[network()].cluster) {
    const auto done = install(network());
    ASSERT_TRUE(done) << done.error().message;
  }
  open_space(*clusters()[network()].cluster);
  enable_all_nodes_but("");
}

void PodsTest::TearDown() {
  if (space_.empty()) return;
  if (HasFailure()) {
    fmt::print("{}\n", try_kubectl({"get", "migrations", "-o", "wide"}).value_or("(no answer)"));
    for (const std::string name : {"controller", "node-1", "node-2", "node-3"}) {
      const std::string log = os::read_file(log_of(name)).value_or("");
      fmt::print("--- {}\n{}\n", name, log.substr(log.size() - std::min<size_t>(log.size(), 3000)));
    }
  }
  SpaceTest::TearDown();
}

void PodsTest::enable_all_nodes_but(const std::string& excluded) const {
  const auto applied = cluster().apply(node_template(excluded), patient());
  ASSERT_TRUE(applied) << applied.error().message;
  const size_t wanted = static_cast<size_t>(cluster().node_count()) - (excluded.empty() ? 0 : 1);
  EXPECT_TRUE(eventually(soon(), [&] {
    return get({"nodes", "-l", "live.cast.ai/migration-enabled=true"})["items"].size() == wanted;
  })) << kubectl({"get", "nodes", "--show-labels"});
}

void PodsTest::start_redis(const std::string& pod_spec_extra) const {
  apply(fmt::format(R"(
apiVersion: apps/v1
kind: Deployment
metadata: {{name: redis}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: redis}}}}
  template:
    metadata: {{labels: {{app: redis}}}}
    spec:
      runtimeClassName: live
      terminationGracePeriodSeconds: 1
      containers:
      - name: redis
        image: godwit.test/redis:1
        imagePullPolicy: Never
        readinessProbe: {{tcpSocket: {{port: 6379}}, periodSeconds: 1}}
        volumeMounts: [{{name: data, mountPath: /data}}]
      volumes: [{{name: data, emptyDir: {{}}}}]
{}
---
apiVersion: v1
kind: Service
metadata: {{name: redis}}
spec: {{selector: {{app: redis}}, ports: [{{port: 6379}}]}}
)",
                    pod_spec_extra));
  kubectl({"wait", "--for=condition=Available", "deployment/redis", "--timeout=60s"});
}

void PodsTest::start_stateful_redis(const std::string& labels) const {
  apply(fmt::format(R"(
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db{}}}}}
    spec:
      runtimeClassName: live
      terminationGracePeriodSeconds: 1
      containers:
      - name: redis
        image: godwit.test/redis:1
        imagePullPolicy: Never
        command: [redis-server, --protected-mode, "no", --appendonly, "yes", --dir, /data]
        readinessProbe: {{tcpSocket: {{port: 6379}}, periodSeconds: 1}}
        lifecycle: {{preStop: {{exec: {{command: [redis-cli, set, stopped, "yes"]}}}}}}
        volumeMounts: [{{name: data, mountPath: /data}}]
  volumeClaimTemplates:
  - metadata: {{name: data}}
    spec: {{storageClassName: shared, accessModes: [ReadWriteMany], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: db}}
spec: {{selector: {{app: db}}, ports: [{{port: 6379}}]}}
)",
                    labels));
  kubectl({"rollout", "status", "statefulset/db", "--timeout=60s"});
}

std::string PodsTest::only_pod() const {
  const json pods = get({"pods", "-l", "app=redis"});
  EXPECT_EQ(pods["items"].size(), 1U) << kubectl({"get", "pods", "-o", "wide"});
  return pods["items"].empty() ? "" : pods["items"][0]["metadata"].value("name", "");
}

json PodsTest::migrate(const std::string& pod, const std::string& destination, const json& options) const {
  const std::string name = fmt::format("m{}", ++migrations_);
  apply_migration(name, {{"podName", pod}, {"destination", destination}, {"options", options}});
  return finished_migration(name);
}

std::string PodsTest::move(const std::string& pod, int destination) const {
  const json status = migrate(pod, node(destination).name())["status"];
  EXPECT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  fmt::print("{}: {} -> {}, pause {} ms\n", pod, status.value("sourceNode", ""), status.value("destinationNode", ""),
             status.value("pauseMs", 0.0));
  return status.value("cloneName", "");
}

int PodsTest::node_of(const std::string& name) const {
  const std::string where = node_name_of(name);
  for (int number = 1; number <= cluster().node_count(); ++number) {
    if (node(number).name() == where) return number;
  }
  ADD_FAILURE() << "pod " << name << " is on no node: '" << where << "'";
  return 0;
}

int PodsTest::other_than(const std::vector<int>& nodes) const {
  for (int number = 1; number <= cluster().node_count(); ++number) {
    if (std::ranges::count(nodes, number) == 0) return number;
  }
  return 0;
}

std::set<std::string> PodsTest::reserved(int number) const {
  const auto listed = node(number).exec({"sh", "-c", "ls /var/lib/cni/networks/*/"}, soon());
  std::istringstream words(listed ? listed->text : "");
  std::set<std::string> all;
  for (std::string word; words >> word;) {
    if (word.starts_with("10.")) all.insert(word);
  }
  return all;
}

std::string PodsTest::start_client_pod(int number) const {
  const std::string name = fmt::format("client-{}", number);
  apply(fmt::format(R"(
apiVersion: v1
kind: Pod
metadata: {{name: {}, labels: {{app: client}}}}
spec:
  nodeName: {}
  terminationGracePeriodSeconds: 0
  containers: [{{name: a, image: "godwit.test/tiny:1", imagePullPolicy: Never, command: [sleep, inf]}}]
)",
                    name, node(number).name()));
  kubectl({"wait", "--for=condition=Ready", "pod/" + name, "--timeout=60s"});
  const auto found = node(number).exec({"sh", "-c",
                                        fmt::format("for n in $(ip netns list 2>/dev/null | cut -d' ' -f1); do "
                                                    "ip -n $n addr show 2>/dev/null | grep -q ' {}/' && echo $n; done",
                                                    address_of(name))},
                                       soon());
  std::string netns = found ? found->text : "";
  netns = netns.substr(0, netns.find('\n'));
  EXPECT_NE(netns, "") << "the network namespace of " << name;
  return netns;
}

std::vector<std::string> PodsTest::event_reasons(const std::string& name) const {
  std::multimap<std::string, std::string> by_time;
  for (const json& event : get({"events.events.k8s.io", "--field-selector", "regarding.name=" + name})["items"]) {
    by_time.emplace(event.value("eventTime", ""), event.value("reason", ""));
  }
  std::vector<std::string> reasons;
  for (const auto& [time, reason] : by_time) reasons.push_back(reason);
  return reasons;
}

void PodsTest::start_agent(int node) const {
  auto agent = spawn_agent(cluster().place(node));
  ASSERT_TRUE(agent) << agent.error().message;
  clusters()[network()].agents.at(static_cast<size_t>(node) - 1) = std::move(*agent);
}

void PodsTest::stop_agent(int node) const {
  clusters()[network()].agents.at(static_cast<size_t>(node) - 1).kill_and_wait();
}

void PodsTest::kill_agent(int node) const {
  stop_agent(node);
  // Its workers run on by themselves. In the node are none but ours.
  const std::string workers = fmt::format(
      "for p in /proc/[0-9]*; do [ \"$(readlink $p/exe)\" = {}/godwit-agent ] && kill -KILL ${{p#/proc/}}; done; true",
      programs);
  const auto killed = cluster().place(node).exec_checked({"sh", "-c", workers}, soon());
  EXPECT_TRUE(killed) << killed.error().message;
}

void PodsTest::kill_node(int node) const {
  const auto killed = cluster::kill_node(*clusters()[network()].cluster, node);
  ASSERT_TRUE(killed) << killed.error().message;
  stop_agent(node);
}

void PodsTest::revive_node(int node) const {
  const auto revived = cluster::restart_node(*clusters()[network()].cluster, node);
  ASSERT_TRUE(revived) << revived.error().message;
  const auto prepared = prepare_network(cluster().place(node));
  ASSERT_TRUE(prepared) << prepared.error().message;
  start_agent(node);
  kubectl({"wait", "--for=condition=Ready", "node/" + cluster().place(node).name(), "--timeout=60s"});
  enable_all_nodes_but("");
}

void PodsTest::start_controller() const {
  auto started = spawn_controller(clusters()[network()]);
  ASSERT_TRUE(started) << started.error().message;
  clusters()[network()].controller.emplace(std::move(*started));
}

void PodsTest::kill_controller() const {
  clusters()[network()].controller->kill_and_wait();
}

void PodsTest::kill_leader_beside_another() const {
  const auto holder = [&] {
    return try_kubectl({"get", "lease", "-n", "default", "godwit-controller", "-o", "jsonpath={.spec.holderIdentity}"})
        .value_or("");
  };
  const std::string before = holder();
  ASSERT_NE(before, "");
  std::optional<os::Subprocess> leader = std::move(clusters()[network()].controller);
  clusters()[network()].admission_port ^= 1;
  start_controller();
  leader->kill_and_wait();
  EXPECT_TRUE(eventually(patient(), [&] { return holder() != before; }));
}

}  // namespace godwit
