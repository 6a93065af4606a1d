// How the pods of a cluster reach each other: the configuration of the network plugins, the nodes' own part of it, and
// the routes between them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cluster/credentials.h"
#include "cluster/plan.h"

namespace godwit::cluster {

// Routed: containerd makes the configuration from this when the node has been given its range.
inline constexpr const char* cni_template_path = "/etc/kubernetes/cni.template";

// For the network plugins: flat, the configuration itself; routed, the template.
File network_file(const ClusterPlan& plan, int index);
// Part of prepare_script().
std::string network_script(const ClusterPlan& plan, int index);
// `ip` commands that make a place send what is for other nodes' pods to those nodes, from the cluster's nodes as
// `kubectl get nodes -o json` lists them. An error if a node has no range yet.
Result<std::vector<std::vector<std::string>>> route_commands(const nlohmann::json& nodes, int place);

}  // namespace godwit::cluster
