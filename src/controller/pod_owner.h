// The controller that a pod belongs to.
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "kube/client.h"

namespace godwit::controller {

struct PodOwner {
  nlohmann::json object;  // null: the pod belongs to nobody

  // Its pods are persons, not numbers: one that is made anew has the name of the one before.
  [[nodiscard]] bool keeps_names() const { return object.is_object() && object.value("kind", "") == "StatefulSet"; }
  // Of one that keeps names: a pod that it makes anew now is made like `pod` was. Error: it is being updated.
  [[nodiscard]] Result<> check_same_revision(const nlohmann::json& pod) const;
};

Result<PodOwner> find_owner(kube::Client& client, const nlohmann::json& pod, const kube::Call& call);

}  // namespace godwit::controller
