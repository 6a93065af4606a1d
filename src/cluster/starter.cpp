#include "cluster/starter.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "cluster/control_plane.h"
#include "cluster/layout.h"
#include "cluster/manifests.h"
#include "cluster/worker.h"
#include "os/file.h"

namespace godwit::cluster {
namespace {

using nlohmann::json;
using std::chrono::seconds;

constexpr auto command_limit = seconds(15);
constexpr auto poll_interval = milliseconds(150);

// What clusters are made of is built once and kept (docs/testing.md).
Result<std::string> find_built(const char* name, const char* make_target, const std::string& wanted = "") {
  const std::string path = wanted.empty() ? lab::built(name) : wanted;
  std::error_code error;
  const std::string real = std::filesystem::canonical(path, error).string();
  if (error) return fail("there is no {}: `make {}` builds it", path, make_target);
  return real;
}

// A socket of the machine's own network at which the API server is to be reached.
Result<std::pair<UniqueFd, int>> listen_on_machine() {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return fail_errno("socket");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(listener.get(), SOMAXCONN) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail_errno("listen at 127.0.0.1 for the API server's clients");
  }
  const int port = ntohs(address.sin_port);
  return std::pair{std::move(listener), port};
}

// In a place a socket keeps belonging to the network that it was made in, so this is a door through the wall between
// the machine's network and the cluster's, which leaves nothing behind.
Component api_door(int listener) {
  return {.name = "api-door",
          .argv = {"socat", "ACCEPT-FD:3,fork", fmt::format("TCP:127.0.0.1:{},nodelay", api_port)},
          .descriptors = {{listener, 3}}};
}

bool is_ready(const json& node) {
  return std::ranges::any_of(node.at("status").value("conditions", json::array()), [](const json& condition) {
    return condition.at("type") == "Ready" && condition.at("status") == "True";
  });
}

Result<> write_files(const lab::Node& place, const std::vector<File>& files) {
  for (const File& file : files) {
    const std::string path = place.root_path() + file.path;
    GODWIT_TRY(os::make_directories(path.substr(0, path.rfind('/')), 0755));
    GODWIT_TRY(os::write_file_atomic(path, file.text, file.mode));
  }
  return {};
}

}  // namespace

Starter::Starter(const ClusterOptions& options, Cluster cluster)
    : options_(options), deadline_(Deadline::after(options.start_limit)), cluster_(std::move(cluster)) {}

void Starter::tell(const std::string& step) const {
  if (options_.progress) options_.progress(fmt::format("[{:4.1f} s] {}", elapsed_ms(started_) / 1000, step));
}

Result<Starter> Starter::create(const ClusterOptions& options) {
  const auto started = Clock::now();
  lab::LabOptions lab_options{.nodes = options.nodes, .name = options.name, .binds = options.binds};
  lab_options.data_limit_bytes = options.disk_bytes;
  GODWIT_ASSIGN(lab_options.image, find_built("cluster-image", "cluster-image"));
  const char* other = std::getenv("GODWIT_KUBERNETES");
  GODWIT_ASSIGN(const std::string kubernetes,
                find_built("kubernetes", "kubernetes",
                           options.kubernetes.empty() && other != nullptr ? other : options.kubernetes));
  GODWIT_ASSIGN(const std::string images, find_built("container-images", "container-images"));
  lab_options.binds.push_back({.source = kubernetes, .target = kubernetes_in_node});
  lab_options.binds.push_back({.source = images, .target = container_images_in_node});
  const std::string version = os::read_file(kubernetes + "/version").value_or("");
  GODWIT_ASSIGN(lab::Lab lab, lab::Lab::start(lab_options));
  ClusterPlan plan{.name = lab.name(), .network = options.network, .dual_stack = options.dual_stack};
  plan.live_runtime = options.live_runtime;
  if (!options.kubeconfig.empty()) plan.kubeconfig = std::filesystem::absolute(options.kubeconfig).string();
  Starter starter(options, Cluster(std::move(plan), std::move(lab)));
  starter.started_ = started;
  starter.tell(fmt::format("{} nodes of cluster \"{}\" are up, now Kubernetes {}", options.nodes,
                           starter.cluster_.name(), version.substr(0, version.find('\n'))));
  return starter;
}

Result<Cluster> Starter::run() {
  GODWIT_TRY(prepare_places());
  GODWIT_TRY(write_credentials());
  GODWIT_TRY(start_control_plane());
  GODWIT_TRY(wait_for_api_server());
  GODWIT_TRY(start_workers());
  GODWIT_TRY(wait_for_nodes());
  GODWIT_TRY(wait_for_service_account());
  tell("pods can be made");
  return std::move(cluster_);
}

Result<> Starter::write_credentials() {
  GODWIT_ASSIGN(auto listening, listen_on_machine());
  ClusterPlan& plan = cluster_.plan_;
  plan.machine_port = listening.second;
  GODWIT_TRY(write_plan(plan));
  GODWIT_ASSIGN(const Credentials credentials, make_credentials(plan, cluster_.node_count()));
  for (int index = 0; index <= cluster_.node_count(); ++index) {
    GODWIT_TRY(write_files(cluster_.place(index), credentials.places[static_cast<size_t>(index)]));
    if (index != control_plane) GODWIT_TRY(write_files(cluster_.place(index), worker_files(plan, index)));
  }
  GODWIT_TRY(os::write_file_atomic(machine_config_path(plan.name), credentials.machine_config));
  if (!plan.kubeconfig.empty()) {
    GODWIT_TRY(os::make_directories(std::filesystem::path(plan.kubeconfig).parent_path().string(), 0755));
    GODWIT_TRY(os::write_file_atomic(plan.kubeconfig, credentials.machine_config));
  }
  return start_component(cluster_.place(control_plane), api_door(listening.first.get()));
}

Result<> Starter::prepare_places() {
  std::vector<Result<>> results(static_cast<size_t>(cluster_.node_count()) + 1);
  {
    std::vector<std::jthread> threads;
    for (int index = 0; index <= cluster_.node_count(); ++index) {
      threads.emplace_back([this, index, &results] {
        const auto done = cluster_.place(index).exec_checked({"sh", "-c", prepare_script(cluster_.plan(), index)},
                                                             Deadline::after(command_limit));
        if (!done) results[static_cast<size_t>(index)] = std::unexpected(done.error());
      });
    }
  }
  for (Result<>& result : results) GODWIT_TRY(std::move(result));
  return {};
}

Result<> Starter::start_control_plane() {
  // Each waits by itself for the one before; containerd needs nobody.
  for (const Component& component : control_plane_components(cluster_.plan())) {
    if (component.name == "kube-controller-manager") break;
    GODWIT_TRY(start_component(cluster_.place(control_plane), component));
    running_.emplace_back(control_plane, component.name);
  }
  for (int index = 1; index <= cluster_.node_count(); ++index) {
    GODWIT_TRY(start_component(cluster_.place(index), worker_components(cluster_.plan(), index)[0]));
    running_.emplace_back(index, "containerd");
  }
  return {};
}

Result<> Starter::start_workers() {
  for (const Component& component : control_plane_components(cluster_.plan())) {
    if (component.name == "etcd" || component.name == "kube-apiserver") continue;
    GODWIT_TRY(start_component(cluster_.place(control_plane), component));
    running_.emplace_back(control_plane, component.name);
  }
  for (int index = 1; index <= cluster_.node_count(); ++index) {
    for (const Component& component : worker_components(cluster_.plan(), index)) {
      if (component.name == "containerd") continue;
      GODWIT_TRY(start_component(cluster_.place(index), component));
      running_.emplace_back(index, component.name);
    }
  }
  return {};
}

Result<> Starter::check_components() const {
  for (const auto& [index, name] : running_) {
    const lab::Node& place = cluster_.place(index);
    if (component_pid(place, name)) continue;
    return fail("{} on {} ended while the cluster started; the end of its log:\n{}", name, place.name(),
                log_end(place, name));
  }
  return {};
}

Result<> Starter::wait_until(const std::string& what, const std::string& suspect, const std::function<bool()>& ready) {
  while (!ready()) {
    GODWIT_TRY(check_components());
    if (deadline_.expired()) {
      const auto found =
          std::ranges::find_if(running_, [&](const auto& component) { return component.second == suspect; });
      const lab::Node& place = cluster_.place(found == running_.end() ? control_plane : found->first);
      return fail("{} did not happen within {} s; the end of the log of {} on {}:\n{}", what,
                  options_.start_limit.count() / 1000, suspect, place.name(), log_end(place, suspect));
    }
    std::this_thread::sleep_for(poll_interval);
  }
  return {};
}

Result<> Starter::wait_for_api_server() {
  GODWIT_TRY(wait_until("an answer of the API server", "kube-apiserver", [&] {
    return cluster_.kubectl({"get", "--raw", "/readyz"}, Deadline::after(command_limit)).has_value();
  }));
  tell("the API server answers");
  return cluster_.apply(manifests(cluster_.plan()), Deadline::after(command_limit));
}

Result<> Starter::wait_for_nodes() {
  int told = 0;
  bool routes_set = cluster_.plan().network == NetworkMode::flat;
  const auto all_ready = [&] {
    const auto text = cluster_.kubectl({"get", "nodes", "-o", "json"}, Deadline::after(command_limit));
    const json nodes = text ? json::parse(*text, nullptr, false) : json();
    if (!nodes.is_object()) return false;
    const auto ready = static_cast<int>(std::ranges::count_if(nodes.at("items"), is_ready));
    if (ready > told) tell(fmt::format("{} of {} nodes are Ready", ready, cluster_.node_count()));
    told = ready;
    if (!routes_set && static_cast<int>(nodes.at("items").size()) == cluster_.node_count()) routes_set = set_routes();
    return routes_set && ready == cluster_.node_count();
  };
  return wait_until("all nodes Ready", "kubelet", all_ready);
}

bool Starter::set_routes() const {
  for (int index = 0; index <= cluster_.node_count(); ++index) {
    if (!cluster_.set_routes(index)) return false;
  }
  return true;
}

Result<> Starter::wait_for_service_account() {
  return wait_until("the default service account", "kube-controller-manager", [&] {
    return cluster_.kubectl({"get", "serviceaccount", "default"}, Deadline::after(command_limit)).has_value();
  });
}

}  // namespace godwit::cluster
