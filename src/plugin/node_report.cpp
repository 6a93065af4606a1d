#include "plugin/node_report.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "api/names.h"
#include "api/node_template.h"
#include "cli/table.h"
#include "controller/eligibility.h"
#include "controller/node_verdict.h"
#include "kube/json_path.h"
#include "plugin/paragraph.h"

namespace godwit::plugin {
namespace {

using nlohmann::json;

struct Template {
  std::string name;
  api::NodeTemplateSpec spec;
  api::NodeTemplateStatus status;
};

std::vector<Template> read_templates(const std::vector<json>& objects) {
  std::vector<Template> all;
  for (const json& object : objects) {
    auto spec = api::read_node_template_spec(object);
    if (!spec) continue;  // selects no node
    all.push_back({kube::name_of(object), *std::move(spec), api::read_node_template_status(object)});
  }
  return all;
}

// What the live controller has said of the node in a template's status.
const api::RefusedNode* find_refusal(const std::vector<Template>& templates, const std::string& node) {
  for (const Template& one : templates) {
    for (const api::RefusedNode& refused : one.status.refused) {
      if (one.spec.live_migration_enabled && refused.name == node) return &refused;
    }
  }
  return nullptr;
}

void explain_disabled(NodeReport& report, const json& node, const std::vector<Template>& templates) {
  std::vector<api::NodeTemplateSpec> specs;
  specs.reserve(templates.size());
  for (const Template& one : templates) specs.push_back(one.spec);
  const controller::NodeVerdict verdict = controller::judge_node(node, specs, std::nullopt);
  const api::RefusedNode* refusal = find_refusal(templates, report.name);
  if (!verdict.ask_agent) {
    report.reason = verdict.reason;
    report.message = verdict.message;
  } else if (refusal != nullptr) {
    report.reason = refusal->reason;
    report.message = refusal->message;
    if (refusal->reason == "AgentSilent") report.agent = "silent";
    if (refusal->reason == "AgentNotAsked") report.agent = "not asked";
  } else {
    report.reason = "NotAssessed";
    report.message =
        "a node template wants it, but the live controller has not said anything of it: does godwit-controller run?";
  }
}

// Why the agent's pod is not well; empty: it is.
std::string trouble_of(const json& pod) {
  const std::string phase = kube::text_at(pod, "/status/phase");
  const json* containers = kube::value_at(pod, "/status/containerStatuses");
  if (containers != nullptr) {
    for (const json& container : *containers) {
      if (container.value("ready", false)) continue;
      for (const char* pointer : {"/state/waiting/reason", "/state/terminated/reason"}) {
        if (std::string reason = kube::text_at(container, pointer); !reason.empty()) return reason;
      }
      return "not ready";
    }
  }
  return phase == "Running" ? "" : phase;
}

std::string yes_or_no(bool value) {
  return value ? "yes" : "no";
}

}  // namespace

std::vector<NodeReport> report_nodes(const std::vector<json>& nodes, const std::optional<std::vector<json>>& templates,
                                     const std::optional<std::vector<json>>& agent_pods) {
  const std::vector<Template> known = templates ? read_templates(*templates) : std::vector<Template>();
  std::vector<NodeReport> reports;
  for (const json& node : nodes) {
    NodeReport report;
    report.name = kube::name_of(node);
    report.enabled = kube::label_of(node, api::labels::migration_enabled) == "true";
    report.ready = controller::is_ready(node);
    report.cordoned = kube::flag_at(node, "/spec/unschedulable");
    report.custom_network = kube::label_of(node, api::labels::custom_network) == "true";
    report.architecture = kube::text_at(node, "/status/nodeInfo/architecture");
    for (const Template& one : known) {
      if (api::includes(one.spec, node).value_or(false)) report.templates.push_back(one.name);
    }
    if (report.enabled) {
      report.agent = "answers";  // or the live controller would have taken the label away
    } else if (templates) {
      explain_disabled(report, node, known);
    } else {
      report.message = "it has no label " + std::string(api::labels::migration_enabled) +
                       "; why is not known, because node templates may not be read";
    }
    for (const json& pod : agent_pods.value_or(std::vector<json>())) {
      if (kube::text_at(pod, "/spec/nodeName") != report.name) continue;
      const std::string trouble = trouble_of(pod);
      if (!trouble.empty()) report.agent_trouble = fmt::format("{}: {}", kube::key_of(pod), trouble);
    }
    reports.push_back(std::move(report));
  }
  std::ranges::sort(reports, {}, &NodeReport::name);
  return reports;
}

cli::Lines render_nodes(const std::vector<NodeReport>& reports, const cli::Look& look) {
  std::vector<std::vector<std::string>> rows;
  for (const NodeReport& one : reports) {
    std::string ready = yes_or_no(one.ready);
    if (one.cordoned) ready += ", cordoned";
    rows.push_back({one.name, yes_or_no(one.enabled), std::move(ready), one.agent.empty() ? "-" : one.agent,
                    one.templates.empty() ? "-" : fmt::format("{}", fmt::join(one.templates, ",")),
                    one.architecture.empty() ? "-" : one.architecture, one.custom_network ? "custom" : "-",
                    one.reason.empty() ? "-" : one.reason});
  }
  cli::Lines lines = cli::render_table(
      {{"NODE"}, {"ENABLED"}, {"READY"}, {"AGENT"}, {"TEMPLATES"}, {"CPU"}, {"NETWORK"}, {"REASON"}}, rows);
  bool gap = true;
  const auto say = [&](const std::string& text, cli::Tone tone) {
    if (std::exchange(gap, false)) lines.emplace_back();
    add_paragraph(lines, text, 2, look, tone);
  };
  for (const NodeReport& one : reports) {
    if (!one.message.empty()) say(fmt::format("{}: {}", one.name, one.message), cli::Tone::plain);
    if (!one.agent_trouble.empty()) {
      say(fmt::format("{}: its agent's pod is {}", one.name, one.agent_trouble), cli::Tone::warning);
    }
  }
  if (std::ranges::none_of(reports, &NodeReport::enabled)) {
    gap = true;
    say("No node is enabled for live migration: enable a node template (spec.liveMigration.enabled), or rebalance onto "
        "nodes of one.",
        cli::Tone::warning);
  }
  return lines;
}

}  // namespace godwit::plugin
