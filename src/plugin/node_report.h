// What is known of each node's part in live migration, as far as the API shows it. Pure: objects in, reports out.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/screen.h"
#include "cli/text.h"

namespace godwit::plugin {

struct NodeReport {
  std::string name;
  bool enabled = false;  // has the label that the live controller gives
  bool ready = false;
  bool cordoned = false;
  bool custom_network = false;
  std::string architecture;
  std::vector<std::string> templates;  // that select it
  std::string agent;                   // "answers", "silent", "not asked", or "" where nobody has said
  std::string reason;                  // why it is not enabled, for programs; may be empty
  std::string message;                 // and in words, with what to do
  std::string agent_trouble;           // of its agent's pod: "godwit/agent-x1: CrashLoopBackOff"; empty: none known
};

// `templates`, `agent_pods`: nothing if they may not be read.
std::vector<NodeReport> report_nodes(const std::vector<nlohmann::json>& nodes,
                                     const std::optional<std::vector<nlohmann::json>>& templates,
                                     const std::optional<std::vector<nlohmann::json>>& agent_pods);

cli::Lines render_nodes(const std::vector<NodeReport>& reports, const cli::Look& look);

}  // namespace godwit::plugin
