#include "controller/node_roster.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/names.h"
#include "controller/node_fit.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr const char* architecture_label = "kubernetes.io/arch";

}  // namespace

NodeTraits traits_of(const json& node) {
  json offers = offers_of(node);
  const bool open = misfits(json::object(), offers).empty();
  return {.obstacles = node_obstacles(node),
          .architecture = kube::label_of(node, architecture_label),
          .custom_network = kube::label_of(node, api::labels::custom_network) == "true",
          .offers = std::move(offers),
          .open = open};
}

NodeRoster::Concern NodeRoster::update(const std::string& node, std::optional<NodeTraits> traits) {
  const std::lock_guard lock(mutex_);
  const auto known = nodes_.find(node);
  if (known == nodes_.end() ? !traits : traits && known->second == *traits) return {};
  std::set<std::string> concerned{node};
  bool demanding = false;
  const auto change = [&](const NodeTraits& one, auto&& put_in_or_out) {
    if (!one.obstacles.empty()) return;
    demanding = true;
    Alike& alike = alike_[kind_of(one)];
    const size_t open_before = alike.open.size();
    put_in_or_out(alike.enabled);
    if (!one.open) return;
    put_in_or_out(alike.open);
    // One more or less is of interest to the others only if there is hardly another.
    if (std::min(open_before, alike.open.size()) <= 1) concerned.insert(alike.enabled.begin(), alike.enabled.end());
  };
  if (known != nodes_.end()) {
    change(known->second, [&](std::set<std::string>& nodes) { nodes.erase(node); });
    nodes_.erase(known);
  }
  if (traits) {
    change(*traits, [&](std::set<std::string>& nodes) { nodes.insert(node); });
    nodes_.emplace(node, std::move(*traits));
  }
  return {.nodes = {concerned.begin(), concerned.end()}, .demanding = demanding};
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
  for (const auto& [kind, nodes] : alike_) elsewhere += nodes.enabled.size() - (nodes.enabled.contains(node) ? 1 : 0);
  size_t alike = 0;
  if (traits != nullptr) {
    if (const auto at = alike_.find(kind_of(*traits)); at != alike_.end()) {
      alike = at->second.enabled.size() - (at->second.enabled.contains(node) ? 1 : 0);
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

bool NodeRoster::suits(const json& pod) const {
  const std::string node = kube::text_at(pod, "/spec/nodeName");
  const std::lock_guard lock(mutex_);
  const NodeTraits* traits = find(node);
  if (traits == nullptr || !traits->obstacles.empty()) return false;
  const Alike& alike = alike_.at(kind_of(*traits));
  if (demands_of(pod).empty()) return alike.open.size() > (alike.open.contains(node) ? 1U : 0U);
  return std::ranges::any_of(alike.enabled, [&](const std::string& other) {
    return other != node && misfits(pod, nodes_.at(other).offers).empty();
  });
}

std::vector<Requirement> explain(const json& pod, const std::vector<json>& claims, const NodeRoster& nodes) {
  std::vector<Requirement> all = pod_requirements(pod, claims);
  for (Requirement& requirement : nodes.requirements(kube::text_at(pod, "/spec/nodeName"))) {
    all.push_back(std::move(requirement));
  }
  return all;
}

}  // namespace godwit::controller
