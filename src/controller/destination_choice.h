// Which node a pod goes to.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "controller/node_roster.h"
#include "kube/client.h"

namespace godwit::controller {

// What is in the way of `node` as the destination of this pod, whose node is like `source`. `asked_for`: somebody named
// it, so it may be cordoned.
std::vector<std::string> destination_obstacles(const nlohmann::json& pod, const nlohmann::json& node,
                                               const NodeTraits& source, bool asked_for);

// `wanted`: a node's name, or empty: the one with the fewest pods of those that can take it, have room for it
// (node_room.h), and are right by pod affinity (pod_affinity.h). Error: no node can, and why each of them cannot.
Result<std::string> choose_destination(kube::Client& client, const nlohmann::json& pod, const std::string& wanted,
                                       const kube::Call& call);

}  // namespace godwit::controller
