// Whether a pod can be migrated: every requirement with its verdict, what to do, and what each other node would say.
// Pure: objects in, lines out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/screen.h"
#include "cli/text.h"
#include "controller/eligibility.h"
#include "plugin/node_report.h"

namespace godwit::plugin {

struct OtherNode {
  std::string name;
  std::vector<std::string> obstacles;  // in words; empty: it can take the pod
};

struct Explanation {
  std::string pod;   // "namespace/name"
  std::string node;  // empty: none yet
  bool labelled = false;
  std::vector<controller::Requirement> requirements;
  std::optional<std::vector<OtherNode>> others;  // nothing: nodes may not be read

  // Nothing: not known, because it depends on nodes that may not be read.
  [[nodiscard]] std::optional<bool> eligible() const;
};

// What of the cluster may be read; nothing: it may not.
struct Surroundings {
  std::vector<nlohmann::json> claims;  // of the pod's volumes
  std::optional<std::vector<nlohmann::json>> nodes;
  std::optional<std::vector<nlohmann::json>> templates;
  std::optional<std::vector<nlohmann::json>> pods;
};

// Without the nodes what they must meet is not among the requirements, and the label that the live controller gives
// speaks for them.
Explanation explain_pod(const nlohmann::json& pod, const Surroundings& around);

cli::Lines render_explanation(const Explanation& explanation, const cli::Look& look);

}  // namespace godwit::plugin
