#include "controller/node_roster.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr const char* architecture_label = "kubernetes.io/arch";

}  // namespace

NodeTraits traits_of(const json& node) {
  return {.obstacles = node_obstacles(node),
          .architecture = kube::label_of(node, architecture_label),
          .custom_network = kube::label_of(node, api::labels::custom_network) == "true"};
}

std::vector<std::string> NodeRoster::update(const std::string& node, std::optional<NodeTraits> traits) {
  const std::lock_guard lock(mutex_);
  const auto known = nodes_.find(node);
  if (known == nodes_.end() ? !traits : traits && known->second == *traits) return {};
  std::set<std::string> concerned{node};
  // One more or less is of interest to the others only if it is their only possible destination.
  const auto concern_the_last = [&](const std::set<std::string>& alike) {
    if (alike.size() <= 2) concerned.insert(alike.begin(), alike.end());
  };
  if (known != nodes_.end()) {
    const auto before = enabled_.find(kind_of(known->second));
    if (before != enabled_.end() && before->second.erase(node) > 0) {
      concern_the_last(before->second);
      if (before->second.empty()) enabled_.erase(before);
    }
    nodes_.erase(known);
  }
  if (traits) {
    if (traits->obstacles.empty()) {
      std::set<std::string>& alike = enabled_[kind_of(*traits)];
      alike.insert(node);
      concern_the_last(alike);
    }
    nodes_.emplace(node, std::move(*traits));
  }
  return {concerned.begin(), concerned.end()};
}

const NodeTraits* NodeRoster::find(const std::string& node) const {
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? nullptr : &at->second;
}

std::vector<Requirement> NodeRoster::requirements(const std::string& node) const {
  Requirement own{.name = "its node supports live migration",
                  .remedy = "kubectl godwit nodes says why a node is not enabled, and what to do about it",
                  .obstacles = {}};
  Requirement other{.name = "another node can take it",
                    .remedy = "enable live migration in the node template of a node like its own",
                    .obstacles = {}};
  const std::lock_guard lock(mutex_);
  const NodeTraits* traits = find(node);
  if (node.empty()) {
    own.obstacles.emplace_back("it is on no node yet");
  } else if (traits == nullptr) {
    own.obstacles.push_back(fmt::format("there is no node {}", node));
  } else {
    own.obstacles = traits->obstacles;
  }
  size_t elsewhere = 0;
  for (const auto& [kind, names] : enabled_) elsewhere += names.size() - (names.contains(node) ? 1 : 0);
  size_t alike = 0;
  if (traits != nullptr) {
    if (const auto at = enabled_.find(kind_of(*traits)); at != enabled_.end()) {
      alike = at->second.size() - (at->second.contains(node) ? 1 : 0);
    }
  }
  if (elsewhere == 0) {
    other.obstacles.emplace_back(
        "no other node is enabled for live migration: enable a node template, or rebalance onto nodes of one");
  } else if (alike == 0) {
    other.obstacles.emplace_back(
        "no other enabled node is of the same CPU architecture and alike in whether it has a custom network");
  }
  return {std::move(own), std::move(other)};
}

bool NodeRoster::suits(const std::string& node) const {
  const std::lock_guard lock(mutex_);
  const NodeTraits* traits = find(node);
  if (traits == nullptr || !traits->obstacles.empty()) return false;
  return enabled_.at(kind_of(*traits)).size() > 1;
}

std::vector<Requirement> explain(const json& pod, const NodeRoster& nodes) {
  std::vector<Requirement> all = pod_requirements(pod);
  for (Requirement& requirement : nodes.requirements(kube::text_at(pod, "/spec/nodeName"))) {
    all.push_back(std::move(requirement));
  }
  return all;
}

}  // namespace godwit::controller
