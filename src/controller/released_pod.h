// A Job counts each of its pods once, when it has ended, and a pod that is deleted before as one that failed. So the
// source of a move is not deleted as the Job's pod: it is released first, and the clone takes its place in the count.
//
// What it was released from is written down in an annotation of it, for a leader that finds it so. Pure: JSON in, JSON
// out.
#pragma once

#include <nlohmann/json.hpp>

namespace godwit::controller {

// Whether its owner counts it so.
bool is_counted_by_owner(const nlohmann::json& pod);
// Merge patch that takes the pod from its owner. `labels`: those by which the owner selects it.
nlohmann::json release_patch(const nlohmann::json& pod, const nlohmann::json& labels);
// Makes `pod` what it was before it was released, if it was.
void undo_release(nlohmann::json& pod);

}  // namespace godwit::controller
