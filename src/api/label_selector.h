// metav1.LabelSelector
#pragma once

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::api {

// Whether `labels` (an object of texts, or null) meet every requirement of `selector`: matchLabels, and
// matchExpressions with In, NotIn, Exists, DoesNotExist. An empty selector is met by everything. Error: an operator
// that is none.
Result<bool> selects(const nlohmann::json& selector, const nlohmann::json& labels);

}  // namespace godwit::api
