#include "cluster/plan.h"

#include <nlohmann/json.hpp>

#include "cluster/layout.h"
#include "os/file.h"

namespace godwit::cluster {

std::string to_string(NetworkMode mode) {
  return mode == NetworkMode::flat ? "flat" : "routed";
}

Result<NetworkMode> network_mode_from(const std::string& text) {
  for (const NetworkMode mode : {NetworkMode::flat, NetworkMode::routed}) {
    if (to_string(mode) == text) return mode;
  }
  return fail("\"{}\" is no network of a cluster: there are flat and routed", text);
}

Result<> write_plan(const ClusterPlan& plan) {
  const nlohmann::json text = {{"name", plan.name},
                               {"network", to_string(plan.network)},
                               {"dual_stack", plan.dual_stack},
                               {"live_runtime", plan.live_runtime},
                               {"kubeconfig", plan.kubeconfig},
                               {"machine_port", plan.machine_port}};
  return os::write_file_atomic(record_path(plan.name), text.dump(2) + "\n");
}

Result<ClusterPlan> read_plan(const std::string& name) {
  const auto text = os::read_file(record_path(name));
  if (!text) return fail("no cluster \"{}\" is up: see `godwit-cluster list`", name);
  try {
    const nlohmann::json json = nlohmann::json::parse(*text);
    ClusterPlan plan{.name = name};
    GODWIT_ASSIGN(plan.network, network_mode_from(json.at("network")));
    json.at("dual_stack").get_to(plan.dual_stack);
    json.at("live_runtime").get_to(plan.live_runtime);
    json.at("kubeconfig").get_to(plan.kubeconfig);
    json.at("machine_port").get_to(plan.machine_port);
    return plan;
  } catch (const nlohmann::json::exception& error) {
    return fail("{}: {}", record_path(name), error.what());
  }
}

}  // namespace godwit::cluster
