// What a cluster shall be, as it is written down for whoever attaches to it later.
#pragma once

#include <string>

#include "base/result.h"

namespace godwit::cluster {

enum class NetworkMode {
  flat,    // all pods in one L2 segment with the nodes
  routed,  // a range of addresses for each node, and routes between the nodes
};
std::string to_string(NetworkMode mode);
Result<NetworkMode> network_mode_from(const std::string& text);

struct ClusterPlan {
  std::string name;
  NetworkMode network = NetworkMode::flat;
  bool dual_stack = false;
  std::string live_runtime = "/usr/bin/runc";  // in nodes: what the runtime class "live" runs containers with; or empty
  std::string kubeconfig;                      // file on the machine that the cluster made, besides its own; or empty
  int machine_port = 0;                        // of the API server at 127.0.0.1 of the machine
};
Result<> write_plan(const ClusterPlan& plan);
Result<ClusterPlan> read_plan(const std::string& name);

}  // namespace godwit::cluster
