// The nodes as the assessment of pods must know them: which are enabled, and which can be each other's destination.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "controller/eligibility.h"

namespace godwit::controller {

struct NodeTraits {
  std::vector<std::string> obstacles;  // as node_obstacles(); empty: enabled
  std::string architecture;
  bool custom_network = false;
  nlohmann::json offers;  // offers_of() the node
  bool open = true;       // to pods that ask nothing of their node

  bool operator==(const NodeTraits&) const = default;
};
NodeTraits traits_of(const nlohmann::json& node);

// Any thread may call it.
class NodeRoster {
 public:
  // Of which pods a change may make or end the eligibility.
  struct Concern {
    std::vector<std::string> nodes;  // of all that are there
    bool demanding = false;          // of those that ask something of their node, wherever they are
  };
  // Puts in what is now known of the node; nothing: it is gone.
  Concern update(const std::string& node, std::optional<NodeTraits> traits);

  // What the nodes must meet so that a pod of `node` can be migrated.
  [[nodiscard]] std::vector<Requirement> requirements(const std::string& node) const;
  // Whether the pod's node, and another one that fits what the pod asks for, can be used. `pod`: its spec has what
  // demands_of() finds, and nodeName.
  [[nodiscard]] bool suits(const nlohmann::json& pod) const;

 private:
  // Nodes alike in this can be each other's destination.
  using Kind = std::pair<std::string, bool>;
  static Kind kind_of(const NodeTraits& traits) { return {traits.architecture, traits.custom_network}; }
  [[nodiscard]] const NodeTraits* find(const std::string& node) const;

  mutable std::mutex mutex_;
  std::map<std::string, NodeTraits> nodes_;
  struct Alike {
    std::set<std::string> enabled;
    std::set<std::string> open;  // of these
  };
  std::map<Kind, Alike> alike_;
};

// Every requirement of a pod, with its verdict.
std::vector<Requirement> explain(const nlohmann::json& pod, const std::vector<nlohmann::json>& claims,
                                 const NodeRoster& nodes);

}  // namespace godwit::controller
