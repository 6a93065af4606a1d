#include "controller/eligibility.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "agent/requests.h"
#include "api/names.h"
#include "controller/object_reading.h"
#include "controller/pod_claims.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

bool is_sidecar(const json& container) {
  return container.value("restartPolicy", "") == "Always";
}

// Those that run all the time.
std::vector<json> lasting_containers(const json& spec) {
  std::vector<json> lasting;
  for (const json& container : spec.value("initContainers", json::array())) {
    if (is_sidecar(container)) lasting.push_back(container);
  }
  for (const json& container : spec.value("containers", json::array())) lasting.push_back(container);
  return lasting;
}

// Of those.
std::vector<json> lasting_statuses(const json& pod) {
  std::vector<json> lasting;
  const json init = pod.value("/spec/initContainers"_json_pointer, json::array());
  for (const json& status : pod.value("/status/initContainerStatuses"_json_pointer, json::array())) {
    const auto same = [&](const json& one) { return one.value("name", "") == status.value("name", ""); };
    const auto container = std::ranges::find_if(init, same);
    if (container != init.end() && is_sidecar(*container)) lasting.push_back(status);
  }
  for (const json& status : pod.value("/status/containerStatuses"_json_pointer, json::array())) {
    lasting.push_back(status);
  }
  return lasting;
}

void check_wishes(const json& pod, std::vector<std::string>& obstacles) {
  const json labels = pod["metadata"].value("labels", json::object());
  if (labels.value(api::labels::migration_disabled, "") == "true")
    obstacles.push_back(fmt::format("the label {}=true forbids it", api::labels::migration_disabled));
}

// The pod's object goes before the pod moves, and its kubelet calls such a hook in the container that runs on.
void check_no_call_at_end(const json& pod, std::vector<std::string>& obstacles) {
  for (const json& container : lasting_containers(pod.value("spec", json::object()))) {
    if (!container.value("/lifecycle/preStop"_json_pointer, json::object()).contains("httpGet")) continue;
    obstacles.push_back(fmt::format("its container {} has a preStop hook that is called by HTTP (use exec)",
                                    container.value("name", "")));
  }
}

void check_owner(const json& pod, std::vector<std::string>& obstacles) {
  const json& metadata = pod["metadata"];
  if (metadata.value("annotations", json::object()).contains("kubernetes.io/config.mirror")) {
    obstacles.emplace_back("it is a static pod, which belongs to its node");
  }
  for (const json& owner : metadata.value("ownerReferences", json::array())) {
    const std::string kind = owner.value("kind", "");
    if (!owner.value("controller", false)) continue;
    if (kind == "DaemonSet") obstacles.emplace_back("a DaemonSet's pod belongs to its node");
    if (kind == "StatefulSet") check_no_call_at_end(pod, obstacles);
    if (kind != "ReplicaSet" && kind != "StatefulSet" && kind != "DaemonSet" && kind != "Job")
      obstacles.push_back(fmt::format("its owner is a {}, which is not known to take a moved pod back", kind));
  }
}

void check_state(const json& pod, std::vector<std::string>& obstacles) {
  const json status = pod.value("status", json::object());
  const std::string phase = status.value("phase", "Pending");
  if (pod["metadata"].contains("deletionTimestamp")) obstacles.emplace_back("it is being deleted");
  if (phase != "Running") obstacles.push_back(fmt::format("it is {}, not Running", phase));
  for (const json& container : lasting_statuses(pod)) {
    if (container.value("state", json::object()).contains("running")) continue;
    obstacles.push_back(fmt::format("its container {} does not run", container.value("name", "")));
  }
}

void check_sharing(const json& spec, std::vector<std::string>& obstacles) {
  for (const auto& [field, what] : {std::pair{"hostNetwork", "network"}, std::pair{"hostPID", "process ids"},
                                    std::pair{"hostIPC", "IPC objects"}}) {
    if (spec.value(field, false)) obstacles.push_back(fmt::format("it shares the node's {} ({})", what, field));
  }
  if (spec.value("shareProcessNamespace", false))
    obstacles.emplace_back("its containers share their process ids (shareProcessNamespace)");
  if (!spec.value("hostUsers", true)) obstacles.emplace_back("it has a user namespace of its own (hostUsers: false)");
}

// Any other runtime would begin the clone anew beside the pod.
void check_runtime(const json& spec, std::vector<std::string>& obstacles) {
  const std::string name = spec.value("runtimeClassName", "");
  if (name == api::runtime_class) return;
  obstacles.push_back(name.empty() ? "it names no runtimeClassName" : fmt::format("its runtimeClassName is {}", name));
}

void check_containers(const json& spec, std::vector<std::string>& obstacles) {
  const std::vector<json> containers = lasting_containers(spec);
  if (containers.size() > agent::pod_containers_max)
    obstacles.push_back(fmt::format("it has more than {} containers", agent::pod_containers_max));
  for (const json& container : containers) {
    const std::string name = container.value("name", "");
    if (container.value("tty", false) || container.value("stdin", false))
      obstacles.push_back(fmt::format("its container {} has a terminal or standard input (tty, stdin)", name));
    if (container.contains("volumeDevices"))
      obstacles.push_back(fmt::format("its container {} has a raw block device", name));
    const json requests = container.value("/resources/requests"_json_pointer, json::object());
    for (const auto& [resource, amount] : requests.items()) {
      if (resource.find('/') != std::string::npos)
        obstacles.push_back(fmt::format("its container {} uses the device {}", name, resource));
    }
  }
}

// Of a volume that is there before: the clone's name is another, and so would be the directory.
void check_expanded_paths(const json& pod, std::vector<std::string>& obstacles) {
  const json spec = pod.value("spec", json::object());
  std::set<std::string> claimed;
  for (const json& volume : spec.value("volumes", json::array())) {
    if (volume.contains("persistentVolumeClaim")) claimed.insert(volume.value("name", ""));
  }
  const json owners = pod["metadata"].value("ownerReferences", json::array());
  const auto keeps_names = [](const json& owner) { return owner.value("kind", "") == "StatefulSet"; };
  if (std::ranges::any_of(owners, keeps_names)) return;
  for (const json& container : lasting_containers(spec)) {
    for (const json& mount : container.value("volumeMounts", json::array())) {
      if (!mount.contains("subPathExpr") || !claimed.contains(mount.value("name", ""))) continue;
      obstacles.push_back(
          fmt::format("its container {} mounts a directory of volume {} that may be named after the pod "
                      "(subPathExpr), which gets another name",
                      container.value("name", ""), mount.value("name", "")));
    }
  }
}

void check_volumes(const json& spec, std::vector<std::string>& obstacles) {
  static constexpr std::string_view movable[] = {"emptyDir",  "configMap",   "secret",
                                                 "projected", "downwardAPI", "persistentVolumeClaim"};
  for (const json& volume : spec.value("volumes", json::array())) {
    for (const auto& [kind, source] : volume.items()) {
      if (kind == "name") continue;
      if (std::ranges::find(movable, kind) == std::end(movable)) {
        obstacles.push_back(fmt::format("its volume {} is a {}", volume.value("name", ""), kind));
      } else if (kind == "emptyDir" && source.value("medium", "").starts_with("HugePages")) {
        obstacles.push_back(fmt::format("its volume {} is made of huge pages", volume.value("name", "")));
      }
    }
  }
}

}  // namespace

std::vector<Requirement> pod_requirements(const json& pod, const std::vector<json>& claims) {
  const json spec = pod.value("spec", json::object());
  std::vector<Requirement> all;
  const auto check = [&](const char* name, const char* remedy, const json& part,
                         void (*look)(const json&, std::vector<std::string>&)) {
    Requirement requirement{.name = name, .remedy = remedy, .obstacles = {}};
    look(part, requirement.obstacles);
    all.push_back(std::move(requirement));
  };
  check("its user allows it", "take the label away, if it may be migrated after all", pod, check_wishes);
  check("its owner takes a moved pod back", "such a pod stays with its owner; where it has to leave its node, evict it",
        pod, check_owner);
  check("it is running", "wait until all its containers run; kubectl describe pod says what they wait for", pod,
        check_state);
  check("Godwit's runtime runs it", "put runtimeClassName: live into the pod's template", spec, check_runtime);
  check("it shares nothing with its node",
        "change these fields in the pod's template, unless the program needs what belongs to the node", spec,
        check_sharing);
  check("its containers can be moved",
        "take out of the pod's template what the program does not need, e.g. tty and stdin; a pod that needs a device "
        "stays where it is",
        spec, check_containers);
  check("its volumes can go along",
        "keep the data in an emptyDir, or behind a persistentVolumeClaim that several nodes may hold (ReadWriteMany): "
        "other volumes belong to their node",
        spec, check_volumes);
  check_expanded_paths(pod, all.back().obstacles);
  for (std::string& obstacle : claim_obstacles(claims)) all.back().obstacles.push_back(std::move(obstacle));
  return all;
}

std::vector<std::string> pod_obstacles(const json& pod) {
  std::vector<std::string> obstacles;
  for (const Requirement& requirement : pod_requirements(pod, {})) {
    obstacles.insert(obstacles.end(), requirement.obstacles.begin(), requirement.obstacles.end());
  }
  return obstacles;
}

std::vector<std::string> moving_containers(const json& pod) {
  std::vector<std::string> ids;
  for (const json& status : lasting_statuses(pod)) {
    const std::string id = status.value("containerID", "");
    if (!id.empty()) ids.push_back(id.substr(id.rfind('/') + 1));
  }
  return ids;
}

std::vector<std::string> node_obstacles(const json& node) {
  std::vector<std::string> obstacles;
  const std::string name = node["metadata"].value("name", "");
  if (node["metadata"].value("labels", json::object()).value(api::labels::migration_enabled, "") != "true") {
    obstacles.push_back(
        fmt::format("node {} is not enabled for live migration (label {})", name, api::labels::migration_enabled));
  }
  if (!is_ready(node)) obstacles.push_back(fmt::format("node {} is not Ready", name));
  if (internal_address(node).empty()) obstacles.push_back(fmt::format("node {} has no internal address", name));
  return obstacles;
}

std::vector<std::string> internal_addresses(const json& node) {
  std::vector<std::string> all;
  for (const json& address : node.value("/status/addresses"_json_pointer, json::array())) {
    if (address.value("type", "") != "InternalIP") continue;
    const std::string text = address.value("address", "");
    const bool known =
        std::ranges::any_of(all, [&](const std::string& other) { return other.contains(':') == text.contains(':'); });
    if (!known) all.push_back(text);
  }
  return all;
}

std::string internal_address(const json& node) {
  const std::vector<std::string> all = internal_addresses(node);
  return all.empty() ? "" : all.front();
}

bool is_ready(const json& object) {
  return condition_of(object, "Ready") == "True";
}

}  // namespace godwit::controller
