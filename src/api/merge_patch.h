#pragma once

#include <nlohmann/json.hpp>

namespace godwit::api {

// The smallest RFC 7386 merge patch that makes `after` out of `before`: an empty object if they are equal. Fields that
// both have alike, known or not, are not in it, so it cannot undo what others write meanwhile. Arrays change as a
// whole.
nlohmann::json merge_patch_between(const nlohmann::json& before, const nlohmann::json& after);

}  // namespace godwit::api
