// Why a pod that a Migration makes will not run. Pure: objects are as the API server has them, null if there is none.
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace godwit::controller {

// Why no container of this pod will ever run as it is: in the kubelet's words (no capacity, no image, a missing
// configMap), or that it was deleted. Nothing: it may.
std::optional<std::string> refusal_of(const nlohmann::json& pod);
// As refusal_of(), or what the pod still waits for: of one whose place was not made in time.
std::string trouble_of(const nlohmann::json& pod);

// Why a pod is lost together with its node, as the cluster sees it: the node is gone, or said to be out of service, or
// it does not report and the pod is being deleted for that. Nothing: it may still run.
std::optional<std::string> loss_of(const nlohmann::json& pod, const nlohmann::json& node);

}  // namespace godwit::controller
