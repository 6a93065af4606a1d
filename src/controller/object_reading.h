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

// Of a pod that will not run again: it holds neither room nor addresses any more.
inline bool has_ended(const nlohmann::json& pod) {
  const std::string phase = kube::text_at(pod, "/status/phase");
  return phase == "Succeeded" || phase == "Failed";
}

}  // namespace godwit::controller
