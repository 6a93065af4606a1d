// What several judgements read of API objects.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "kube/json_path.h"

namespace godwit::controller {

// An empty list where there is nothing or something that is no list. The object must outlive it.
inline const nlohmann::json& array_at(const nlohmann::json& object, const char* pointer) {
  static const nlohmann::json none = nlohmann::json::array();
  const nlohmann::json* found = kube::value_at(object, pointer);
  return found != nullptr && found->is_array() ? *found : none;
}

// "True", "False", "Unknown", or empty: the object has no condition of that type.
inline std::string condition_of(const nlohmann::json& object, const std::string& type) {
  for (const nlohmann::json& condition : array_at(object, "/status/conditions")) {
    if (condition.value("type", "") == type) return condition.value("status", "");
  }
  return "";
}

// Of a pod that will not run again: it holds neither room nor addresses any more.
inline bool has_ended(const nlohmann::json& pod) {
  const std::string phase = kube::text_at(pod, "/status/phase");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace godwit::controller
