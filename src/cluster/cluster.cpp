#include "cluster/cluster.h"

#include <atomic>
#include <nlohmann/json.hpp>

#include "cluster/layout.h"
#include "cluster/network.h"
#include "cluster/starter.h"
#include "lab/state.h"
#include "os/file.h"

namespace godwit::cluster {

Result<Cluster> Cluster::start(const ClusterOptions& options) {
  GODWIT_ASSIGN(Starter starter, Starter::create(options));
  return starter.run();
}

Result<Cluster> Cluster::attach(const std::string& name) {
  GODWIT_ASSIGN(ClusterPlan plan, read_plan(name));
  GODWIT_ASSIGN(lab::Lab lab, lab::Lab::attach(name));
  return Cluster(std::move(plan), std::move(lab));
}

const lab::Node& Cluster::place(int index) const {
  return index == control_plane ? lab_.outside() : lab_.node(index);
}

std::string Cluster::kubeconfig_path() const {
  return machine_config_path(name());
}

Result<std::string> Cluster::kubectl(const std::vector<std::string>& arguments, Deadline deadline) const {
  std::vector<std::string> argv = {"kubectl", "--kubeconfig", admin_config};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return place(control_plane).exec_checked(argv, deadline);
}

Result<> Cluster::apply(const std::string& manifest, Deadline deadline) const {
  static std::atomic<int> count = 0;
  const std::string path = fmt::format("/tmp/manifest-{}-{}", ::getpid(), ++count);
  GODWIT_TRY(os::write_file_atomic(place(control_plane).root_path() + path, manifest));
  GODWIT_TRY(kubectl({"apply", "-f", path}, deadline));
  return os::remove_tree(place(control_plane).root_path() + path);
}

Result<> Cluster::set_routes(int index) const {
  constexpr auto limit = std::chrono::seconds(15);
  GODWIT_ASSIGN(const std::string text, kubectl({"get", "nodes", "-o", "json"}, Deadline::after(limit)));
  GODWIT_ASSIGN(const auto commands, route_commands(nlohmann::json::parse(text, nullptr, false), index));
  for (const auto& command : commands) GODWIT_TRY(place(index).exec_checked(command, Deadline::after(limit)));
  return {};
}

Result<> Cluster::stop() {
  if (!plan_.kubeconfig.empty()) {
    // Another cluster may have put its own there since.
    const auto ours = os::read_file(kubeconfig_path());
    const auto there = os::read_file(plan_.kubeconfig);
    if (ours && there && *ours == *there) GODWIT_TRY(os::remove_tree(plan_.kubeconfig));
  }
  return lab_.stop();
}

std::vector<std::string> living_clusters() {
  std::vector<std::string> names = lab::living_labs();
  std::erase_if(names, [](const std::string& name) { return !os::exists(record_path(name)); });
  return names;
}

}  // namespace godwit::cluster
