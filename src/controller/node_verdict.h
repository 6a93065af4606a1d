// Whether a node supports live migration, and what node templates say of their nodes. Pure: objects in, verdicts out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "api/conditions.h"
#include "api/node_template.h"

namespace godwit::controller {

// What came of asking a node's agent.
struct AgentSighting {
  bool answers = false;
  std::string why;  // if it does not
};

struct NodeVerdict {
  bool enabled = false;
  bool custom_network = false;
  // Nothing but the agent's answer is missing, or it is all that could go missing.
  bool ask_agent = false;
  // Why it is not enabled, for programs and in words.
  std::string reason;
  std::string message;

  bool operator==(const NodeVerdict&) const = default;
};

// `templates`: all there are. `agent`: nothing if it has not been asked yet.
NodeVerdict judge_node(const nlohmann::json& node, const std::vector<api::NodeTemplateSpec>& templates,
                       const std::optional<AgentSighting>& agent);

struct JudgedNode {
  std::string name;
  NodeVerdict verdict;
};

struct TemplateVerdict {
  api::NodeTemplateStatus status;
  api::Condition ready;
};

// `selected`: the template's nodes.
TemplateVerdict judge_template(const api::NodeTemplateSpec& spec, const std::vector<JudgedNode>& selected);

// Merge patch that gives the object the labels with value "true", or takes them away; nothing: it is so already. It
// holds for this very object only, not for a later one of its name.
struct WantedLabel {
  const char* name;
  bool wanted;
};
std::optional<nlohmann::json> label_patch(const nlohmann::json& object, const std::vector<WantedLabel>& labels);

}  // namespace godwit::controller
