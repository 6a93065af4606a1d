// Whether a pod can be migrated, as far as the API server knows it; the node's agent looks closer (agent/preflight.h).
// Pure: JSON in, words out.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace godwit::controller {

// One thing that must hold for a pod to be migrated.
struct Requirement {
  std::string name;                    // what must hold, e.g. "its volumes can go along"
  std::string remedy;                  // what to do where it does not
  std::vector<std::string> obstacles;  // what is in the way, in words; empty: it is met

  [[nodiscard]] bool met() const { return obstacles.empty(); }
};

// What the pod itself must meet, in the order in which people ask, and those of its claims that are known. What its
// nodes must meet is node_roster.h.
std::vector<Requirement> pod_requirements(const nlohmann::json& pod, const std::vector<nlohmann::json>& claims);
// What of the pod itself is in the way, in words; empty: nothing.
std::vector<std::string> pod_obstacles(const nlohmann::json& pod);

// Of a pod's containers those that run all the time, as their container engine calls them: native sidecars too.
std::vector<std::string> moving_containers(const nlohmann::json& pod);

// What is in the way of a node as source or destination.
std::vector<std::string> node_obstacles(const nlohmann::json& node);
// "10.0.0.7"; empty if the node has told none.
std::string internal_address(const nlohmann::json& node);
// One of each family, in the order in which the node tells them.
std::vector<std::string> internal_addresses(const nlohmann::json& node);
bool is_ready(const nlohmann::json& object);  // of a pod or a node: its condition Ready is True

}  // namespace godwit::controller
