#include "controller/node_verdict.h"

#include <fmt/format.h>

#include "controller/eligibility.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

NodeVerdict refuse(NodeVerdict verdict, const char* reason, std::string message) {
  verdict.reason = reason;
  verdict.message = std::move(message);
  return verdict;
}

}  // namespace

NodeVerdict judge_node(const json& node, const std::vector<api::NodeTemplateSpec>& templates,
                       const std::optional<AgentSighting>& agent) {
  NodeVerdict verdict;
  bool wanted = false;
  for (const api::NodeTemplateSpec& one : templates) {
    if (!api::includes(one, node).value_or(false)) continue;
    wanted = wanted || one.live_migration_enabled;
    verdict.custom_network = verdict.custom_network || one.custom_network;
  }
  if (!wanted) {
    return refuse(std::move(verdict), "NotEnabled",
                  "no node template selects it and has live migration enabled: set spec.liveMigration.enabled of one");
  }
  if (!is_ready(node)) {
    return refuse(std::move(verdict), "NotReady", "the node is not Ready: kubectl describe node says why");
  }
  if (internal_address(node).empty()) {
    return refuse(std::move(verdict), "NoAddress", "the node has told no address of type InternalIP");
  }
  verdict.ask_agent = true;
  if (!agent) return refuse(std::move(verdict), "AgentNotAsked", "its agent has not been asked yet");
  if (!agent->answers) {
    return refuse(std::move(verdict), "AgentSilent",
                  fmt::format("its agent does not answer: {}; look at the godwit-agent of this node", agent->why));
  }
  verdict.enabled = true;
  return verdict;
}

TemplateVerdict judge_template(const api::NodeTemplateSpec& spec, const std::vector<JudgedNode>& selected) {
  TemplateVerdict judged;
  judged.status.nodes = static_cast<int64_t>(selected.size());
  size_t refused = 0;
  for (const auto& [name, verdict] : selected) {
    if (verdict.enabled) {
      ++judged.status.enabled_nodes;
    } else if (spec.live_migration_enabled) {
      ++refused;
      if (judged.status.refused.size() < api::refused_max) {
        judged.status.refused.push_back({.name = name, .reason = verdict.reason, .message = verdict.message});
      }
    }
  }
  api::Condition& ready = judged.ready;
  ready = {.type = "Ready", .status = "False", .reason = "", .message = "", .last_transition = ""};
  if (!spec.live_migration_enabled) {
    ready.reason = "NotEnabled";
    ready.message = "spec.liveMigration.enabled is not set";
  } else if (selected.empty()) {
    ready.reason = "NoNodes";
    ready.message = "no node has the labels that spec.nodeSelector wants";
  } else if (refused > 0) {
    const api::RefusedNode& first = judged.status.refused.front();
    ready.reason = "NodesRefused";
    ready.message = fmt::format("{} of {} nodes do not support live migration, e.g. {}: {}", refused, selected.size(),
                                first.name, first.message);
  } else {
    ready.status = "True";
    ready.reason = "AllNodesReady";
    ready.message = fmt::format("all {} nodes support live migration", selected.size());
  }
  return judged;
}

std::optional<json> label_patch(const json& object, const std::vector<WantedLabel>& labels) {
  json changes = json::object();
  const json* known = kube::value_at(object, "/metadata/labels");
  for (const WantedLabel& label : labels) {
    const bool there = known != nullptr && known->contains(label.name);
    if (label.wanted && !(there && (*known)[label.name] == "true")) changes[label.name] = "true";
    if (!label.wanted && there) changes[label.name] = nullptr;
  }
  if (changes.empty()) return std::nullopt;
  return json{{"metadata", {{"uid", kube::uid_of(object)}, {"labels", std::move(changes)}}}};
}

}  // namespace godwit::controller
