#include "api/conditions.h"

#include "kube/json_path.h"

namespace godwit::api {

using nlohmann::json;

std::optional<Condition> find_condition(const json& status, const std::string& type) {
  const json* all = kube::value_at(status, "/conditions");
  if (all == nullptr || !all->is_array()) return std::nullopt;
  for (const json& one : *all) {
    if (kube::text_at(one, "/type") != type) continue;
    return Condition{
        .type = type,
        .status = kube::text_at(one, "/status"),
        .reason = kube::text_at(one, "/reason"),
        .message = kube::text_at(one, "/message"),
        .observed_generation = kube::number_at(one, "/observedGeneration"),
        .last_transition = kube::text_at(one, "/lastTransitionTime"),
    };
  }
  return std::nullopt;
}

void set_condition(json& status, const Condition& condition, kube::WallTime now) {
  json& all = status["conditions"];
  if (!all.is_array()) all = json::array();
  json* place = nullptr;
  for (json& one : all) {
    if (kube::text_at(one, "/type") == condition.type) place = &one;
  }
  if (place == nullptr) place = &all.emplace_back(json{{"type", condition.type}});
  if (kube::text_at(*place, "/status") != condition.status || !place->contains("lastTransitionTime")) {
    (*place)["lastTransitionTime"] = kube::format_time(now);
  }
  (*place)["status"] = condition.status;
  (*place)["reason"] = condition.reason;
  (*place)["message"] = condition.message;
  put_generation(*place, condition.observed_generation);
}

void put_generation(json& object, int64_t generation) {
  if (generation > 0) {
    object["observedGeneration"] = generation;
  } else {
    object.erase("observedGeneration");
  }
}

}  // namespace godwit::api
