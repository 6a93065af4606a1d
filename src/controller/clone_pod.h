// The pod that takes another one's place on another node. Pure: JSON in, JSON out.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::controller {

constexpr const char* deletion_cost_annotation = "controller.kubernetes.io/pod-deletion-cost";
// Of a Job's pod: it stays until the Job has counted it.
constexpr const char* job_tracking_finalizer = "batch.kubernetes.io/job-tracking";

// "x" becomes "x-clone-1", "x-clone-1" becomes "x-clone-2".
std::string clone_name(const std::string& name);

// Labels by which a pod's owner selects it and nobody else should: a clone is without them until it is handed over.
// `owner`: the owning object, or null if there is none.
nlohmann::json owner_labels(const nlohmann::json& pod, const nlohmann::json& owner);

struct CloneRequest {
  std::string node;
  std::string session;
  nlohmann::json without_labels;  // as owner_labels() gives them
};

// What to create. Init containers (but for sidecars), postStart hooks and startup probes are left out, except where the
// pod's annotations ask for them: what they did is in the memory that arrives.
nlohmann::json make_clone(const nlohmann::json& pod, const CloneRequest& request);
// Takes out of a pod what is not to run again (above).
void skip_beginnings(nlohmann::json& pod);
// The very images that `running` has, by their digests: a tag may mean another one by now, or on another node.
void pin_images(nlohmann::json& pod, const nlohmann::json& running);
struct UnknownContainer {
  std::string annotation;
  std::string name;

  bool operator==(const UnknownContainer&) const = default;
};
// Names in those annotations that no container has.
std::vector<UnknownContainer> unknown_containers(const nlohmann::json& pod);

// JSON patch of the clone's status: the readiness gates that the source has passed and nobody has judged for the clone
// yet. Empty while the clone's containers are not Ready.
nlohmann::json gates_patch(const nlohmann::json& clone, const nlohmann::json& source);

// Merge patch that gives the clone to the source's owner and Services: all of the source's labels.
nlohmann::json hand_over_patch(const nlohmann::json& source);

}  // namespace godwit::controller
