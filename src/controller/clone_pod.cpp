#include "controller/clone_pod.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <utility>

#include "agent/pod_container.h"
#include "api/names.h"
#include "controller/object_reading.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr std::string_view clone_infix = "-clone-";
constexpr size_t host_name_bytes_max = 63;
constexpr int64_t delay_s_max = 24L * 60 * 60;

std::set<std::string> names_in(const json& pod, const char* annotation) {
  std::set<std::string> names;
  const json annotations = pod["metadata"].value("annotations", json::object());
  std::istringstream list(annotations.value(annotation, ""));
  for (std::string name; std::getline(list, name, ',');) {
    const size_t start = name.find_first_not_of(" \t");
    if (start == std::string::npos) continue;
    names.insert(name.substr(start, name.find_last_not_of(" \t") - start + 1));
  }
  return names;
}

bool is_sidecar(const json& container) {
  return container.value("restartPolicy", "") == "Always";
}

// A clone has no startup probe, and so its liveness probe would judge the container's next start from the first second:
// it waits as long as the startup probe would have let that take. The defaults are Kubernetes'.
void wait_for_start(json& container) {
  const json startup = container["startupProbe"];
  container.erase("startupProbe");
  if (!container.contains("livenessProbe")) return;
  json& liveness = container["livenessProbe"];
  const int64_t allowed = startup.value("initialDelaySeconds", int64_t{0}) +
                          startup.value("failureThreshold", int64_t{3}) * startup.value("periodSeconds", int64_t{10});
  const int64_t delay = liveness.value("initialDelaySeconds", int64_t{0}) + allowed;
  liveness["initialDelaySeconds"] = std::min(delay, delay_s_max);
}

void strip_container(json& container, const std::set<std::string>& post_start, const std::set<std::string>& startup) {
  const std::string name = container.value("name", "");
  if (container.contains("lifecycle") && container["lifecycle"].contains("postStart")) {
    const bool exec = container["lifecycle"]["postStart"].contains("exec");
    if (!exec || !post_start.contains(name)) container["lifecycle"].erase("postStart");
    if (container["lifecycle"].empty()) container.erase("lifecycle");
  }
  if (container.contains("startupProbe") && !startup.contains(name)) wait_for_start(container);
}

// Without a trailing number: "x", from "x-clone-7" too.
std::string original_name(const std::string& name) {
  const size_t at = name.rfind(clone_infix);
  if (at == std::string::npos) return name;
  const std::string number = name.substr(at + clone_infix.size());
  const bool digits =
      !number.empty() && number.size() < 9 && std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
  return digits ? name.substr(0, at) : name;
}

}  // namespace

std::string clone_name(const std::string& name) {
  const std::string original = original_name(name);
  const int number = original == name ? 0 : std::stoi(name.substr(original.size() + clone_infix.size()));
  return original + std::string(clone_infix) + std::to_string(number + 1);
}

json owner_labels(const json& pod, const json& owner) {
  const json labels = pod["metadata"].value("labels", json::object());
  json result = json::object();
  if (!owner.is_object()) return result;
  // Of a Deployment's ReplicaSet, and of a Job: nothing else has these.
  for (const char* name : {"pod-template-hash", "controller-uid", "batch.kubernetes.io/controller-uid"}) {
    if (labels.contains(name)) result[name] = labels[name];
  }
  if (!result.empty()) return result;
  const json selector = owner.value("/spec/selector/matchLabels"_json_pointer, json::object());
  for (const auto& [name, value] : selector.items()) {
    if (labels.contains(name)) result[name] = labels[name];
  }
  return result;
}

void skip_beginnings(json& pod) {
  json& spec = pod["spec"];
  const auto init = names_in(pod, api::annotations::run_init_containers);
  const auto post_start = names_in(pod, api::annotations::run_post_start_exec);
  const auto startup = names_in(pod, api::annotations::run_startup_probe);
  json kept = json::array();
  std::string run_again;
  for (json& container : spec["initContainers"]) {
    const std::string name = container.value("name", "");
    if (!is_sidecar(container) && !init.contains(name)) continue;
    if (!is_sidecar(container)) run_again += (run_again.empty() ? "" : ",") + name;
    strip_container(container, post_start, startup);
    kept.push_back(container);
  }
  spec.erase("initContainers");
  if (!kept.empty()) spec["initContainers"] = kept;
  // The node's runtime starts what is named here like any container; all others arrive.
  if (!init.empty()) pod["metadata"]["annotations"][api::annotations::run_init_containers] = run_again;
  for (json& container : spec["containers"]) strip_container(container, post_start, startup);
}

namespace {

// Whether any node can have the image `id` for that container. Without a name before its digest it is one of the
// source's own; and by the name of another repository, which the source knows it by as well, nobody asked for it.
bool can_be_pinned(const json& container, const std::string& id) {
  return id.find("@sha256:") != std::string::npos && container.value("imagePullPolicy", "") != "Never" &&
         agent::image_repository(id) == agent::image_repository(container.value("image", ""));
}

}  // namespace

void pin_images(json& pod, const json& running) {
  for (const auto& [list, statuses] : {std::pair{"containers", "/status/containerStatuses"},
                                       std::pair{"initContainers", "/status/initContainerStatuses"}}) {
    if (!pod["spec"].contains(list)) continue;
    for (json& container : pod["spec"][list]) {
      for (const json& status : array_at(running, statuses)) {
        if (status.value("name", "") != container.value("name", "")) continue;
        const std::string image = status.value("imageID", "");
        if (can_be_pinned(container, image)) container["image"] = image;
      }
    }
  }
}

json make_clone(const json& pod, const CloneRequest& request) {
  const json& metadata = pod["metadata"];
  const std::string name = metadata.value("name", "");
  json labels = metadata.value("labels", json::object());
  for (const auto& [label, value] : request.without_labels.items()) labels.erase(label);
  json annotations = metadata.value("annotations", json::object());
  annotations[api::annotations::restore] = request.session;
  annotations.erase(deletion_cost_annotation);

  json spec = pod["spec"];
  spec["nodeName"] = request.node;
  spec.erase("ephemeralContainers");
  spec.erase("schedulingGates");
  // The program knows its host name.
  if (spec.value("hostname", "").empty()) spec["hostname"] = original_name(name).substr(0, host_name_bytes_max);
  json clone = {{"apiVersion", "v1"},
                {"kind", "Pod"},
                {"metadata",
                 {{"name", clone_name(name)},
                  {"namespace", metadata.value("namespace", "")},
                  {"labels", labels},
                  {"annotations", annotations}}},
                {"spec", spec}};
  skip_beginnings(clone);
  pin_images(clone, pod);
  return clone;
}

std::vector<UnknownContainer> unknown_containers(const json& pod) {
  std::set<std::string> known;
  for (const char* list : {"containers", "initContainers"}) {
    for (const json& container : pod["spec"].value(list, json::array())) known.insert(container.value("name", ""));
  }
  std::vector<UnknownContainer> unknown;
  for (const char* annotation : {api::annotations::run_startup_probe, api::annotations::run_post_start_exec,
                                 api::annotations::run_init_containers}) {
    for (const std::string& name : names_in(pod, annotation)) {
      if (!known.contains(name)) unknown.push_back({annotation, name});
    }
  }
  return unknown;
}

json gates_patch(const json& clone, const json& source) {
  json patch = json::array();
  if (condition_of(clone, "ContainersReady") != "True") return patch;
  for (const json& gate : array_at(clone, "/spec/readinessGates")) {
    const std::string type = gate.value("conditionType", "");
    if (condition_of(source, type) != "True" || !condition_of(clone, type).empty()) continue;
    patch.push_back({{"op", "add"}, {"path", "/status/conditions/-"}, {"value", {{"type", type}, {"status", "True"}}}});
  }
  return patch;
}

json hand_over_patch(const json& source) {
  json patch = {{"metadata", {{"labels", source["metadata"].value("labels", json::object())}}}};
  const json owners = source["metadata"].value("ownerReferences", json::array());
  if (!owners.empty()) patch["metadata"]["ownerReferences"] = owners;
  for (const json& finalizer : source["metadata"].value("finalizers", json::array())) {
    if (finalizer == job_tracking_finalizer) patch["metadata"]["finalizers"] = json::array({finalizer});
  }
  return patch;
}

}  // namespace godwit::controller
