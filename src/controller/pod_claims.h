// Persistent volumes of a pod that moves: for a moment both nodes hold them. Pure: JSON in, words out.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace godwit::controller {

// Names of the claims that the pod's volumes come from.
std::vector<std::string> claims_of(const nlohmann::json& pod);
// Whether several nodes may hold the claim's volume at a time.
bool is_for_several_nodes(const nlohmann::json& claim);
// What is in the way, in words, of a pod whose volumes come from these; empty: nothing.
std::vector<std::string> claim_obstacles(const std::vector<nlohmann::json>& claims);

}  // namespace godwit::controller
