// metav1.Condition: https://kubernetes.io/docs/reference/generated/kubernetes-api/v1.36/#condition-v1-meta
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "kube/timestamp.h"

namespace godwit::api {

struct Condition {
  std::string type;    // CamelCase, e.g. "Ready"
  std::string status;  // "True", "False", "Unknown"
  std::string reason;  // CamelCase
  std::string message;
  int64_t observed_generation = 0;
  std::string last_transition;  // set by set_condition()
};

// Nothing: `status` has no condition of this type.
std::optional<Condition> find_condition(const nlohmann::json& status, const std::string& type);

// Puts the condition into `status`.conditions, or changes the one of its type; other conditions, and fields in this one
// that are not known here, stay. lastTransitionTime changes only with the condition's status, as the API wants it.
void set_condition(nlohmann::json& status, const Condition& condition, kube::WallTime now);

// Sets `object`.observedGeneration; 0 takes it out, because `kubectl wait` would wait for ever for one that lags
// behind.
void put_generation(nlohmann::json& object, int64_t generation);

}  // namespace godwit::api
