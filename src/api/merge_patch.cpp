#include "api/merge_patch.h"

namespace godwit::api {

using nlohmann::json;

json merge_patch_between(const json& before, const json& after) {
  json patch = json::object();
  for (const auto& [name, value] : after.items()) {
    const auto old = before.find(name);
    if (old != before.end() && old->is_object() && value.is_object()) {
      json inner = merge_patch_between(*old, value);
      if (!inner.empty()) patch[name] = std::move(inner);
    } else if (old == before.end() || *old != value) {
      patch[name] = value;
    }
  }
  for (const auto& [name, value] : before.items()) {
    if (!after.contains(name)) patch[name] = nullptr;
  }
  return patch;
}

}  // namespace godwit::api
