#include "controller/planned_moves.h"

#include <utility>

#include "controller/clone_pod.h"
#include "kube/json_path.h"

namespace godwit::controller {

using nlohmann::json;

json moved_pod(const json& pod, const std::string& clone_name, const std::string& node) {
  json moved = {{"metadata",
                 {{"name", clone_name},
                  {"namespace", kube::namespace_of(pod)},
                  {"labels", pod["metadata"].value("labels", json::object())}}},
                {"spec", pod["spec"]}};
  moved["spec"]["nodeName"] = node;
  skip_beginnings(moved);
  return moved;
}

bool is_clone_of(const json& pod, const json& moved) {
  return kube::name_of(pod) == kube::name_of(moved) && kube::namespace_of(pod) == kube::namespace_of(moved) &&
         kube::text_at(pod, "/spec/nodeName") == kube::text_at(moved, "/spec/nodeName");
}

void PlannedMoves::plan(const std::string& migration, json moved) {
  const std::lock_guard lock(mutex_);
  moves_[migration] = std::move(moved);
}

void PlannedMoves::forget(const std::string& migration) {
  const std::lock_guard lock(mutex_);
  moves_.erase(migration);
}

Result<json> PlannedMoves::choose(const std::string& migration, const Choice& choose) {
  const std::lock_guard lock(mutex_);
  std::vector<json> planned;
  planned.reserve(moves_.size());
  for (const auto& [other, moved] : moves_) planned.push_back(moved);
  GODWIT_ASSIGN(json moved, choose(planned));
  moves_[migration] = moved;
  return moved;
}

}  // namespace godwit::controller
