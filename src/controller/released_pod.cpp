#include "controller/released_pod.h"

#include <algorithm>

#include "controller/clone_pod.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr const char* released_annotation = "live.cast.ai/released-from";

}  // namespace

bool is_counted_by_owner(const json& pod) {
  const json finalizers = pod["metadata"].value("finalizers", json::array());
  return std::ranges::find(finalizers, json(job_tracking_finalizer)) != finalizers.end();
}

json release_patch(const json& pod, const json& labels) {
  const json& metadata = pod["metadata"];
  const json before = {{"ownerReferences", metadata.value("ownerReferences", json::array())},
                       {"finalizers", metadata.value("finalizers", json::array())},
                       {"labels", labels}};
  json others = json::array();
  for (const json& finalizer : before["finalizers"]) {
    if (finalizer != job_tracking_finalizer) others.push_back(finalizer);
  }
  json patch = {{"ownerReferences", nullptr},
                {"finalizers", std::move(others)},
                {"annotations", {{released_annotation, before.dump()}}},
                {"labels", json::object()}};
  for (const auto& [name, value] : labels.items()) patch["labels"][name] = nullptr;
  return {{"metadata", std::move(patch)}};
}

void undo_release(json& pod) {
  const json before = json::parse(kube::annotation_of(pod, released_annotation), nullptr, /*allow_exceptions=*/false);
  if (!before.is_object()) return;
  json& metadata = pod["metadata"];
  metadata["annotations"].erase(released_annotation);
  for (const char* part : {"ownerReferences", "finalizers"}) metadata[part] = before.value(part, json::array());
  for (const auto& [name, value] : before.value("labels", json::object()).items()) metadata["labels"][name] = value;
}

}  // namespace godwit::controller
