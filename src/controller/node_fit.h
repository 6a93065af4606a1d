// Whether a pod may be on a node, by what the pod asks for: the scheduler is not asked about a pod that moves, and the
// node's kubelet refuses it only when it is there. Pure.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace godwit::controller {

// What is in the way, in words; empty: nothing. Node selector, required node affinity, and taints that the pod does not
// tolerate, but for those that say that it is cordoned or not Ready.
std::vector<std::string> misfits(const nlohmann::json& pod, const nlohmann::json& node);

// What of a pod's spec misfits() looks at. An empty object: the pod asks nothing of its node.
nlohmann::json demands_of(const nlohmann::json& pod);
// What of a node misfits() looks at.
nlohmann::json offers_of(const nlohmann::json& node);

}  // namespace godwit::controller
