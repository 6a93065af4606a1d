// The nodes as the assessment of pods must know them: which are enabled, and which can be each other's destination.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "controller/eligibility.h"

namespace godwit::controller {

struct NodeTraits {
  std::vector<std::string> obstacles;  // as node_obstacles(); empty: enabled
  std::string architecture;
  bool custom_network = false;

  bool operator==(const NodeTraits&) const = default;
};
NodeTraits traits_of(const nlohmann::json& node);

// Any thread may call it.
class NodeRoster {
 public:
  // Puts in what is now known of the node; nothing: it is gone. Returns the nodes whose pods may be eligible by it, or
  // no longer.
  std::vector<std::string> update(const std::string& node, std::optional<NodeTraits> traits);

  // What the nodes must meet so that a pod of `node` can be migrated.
  [[nodiscard]] std::vector<Requirement> requirements(const std::string& node) const;
  // Whether they all are met.
  [[nodiscard]] bool suits(const std::string& node) const;

 private:
  // Nodes alike in this can be each other's destination.
  using Kind = std::pair<std::string, bool>;
  static Kind kind_of(const NodeTraits& traits) { return {traits.architecture, traits.custom_network}; }
  [[nodiscard]] const NodeTraits* find(const std::string& node) const;

  mutable std::mutex mutex_;
  std::map<std::string, NodeTraits> nodes_;
  std::map<Kind, std::set<std::string>> enabled_;
};

// Every requirement of a pod, with its verdict.
std::vector<Requirement> explain(const nlohmann::json& pod, const NodeRoster& nodes);

}  // namespace godwit::controller
