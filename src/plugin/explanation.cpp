#include "plugin/explanation.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "api/names.h"
#include "controller/destination_choice.h"
#include "controller/node_roster.h"
#include "kube/json_path.h"
#include "plugin/paragraph.h"

namespace godwit::plugin {
namespace {

using cli::Line;
using cli::Lines;
using cli::Look;
using cli::Tone;
using controller::NodeTraits;
using controller::Requirement;
using nlohmann::json;

std::vector<OtherNode> judge_others(const json& pod, const Surroundings& around) {
  const std::string own = kube::text_at(pod, "/spec/nodeName");
  const std::vector<json>& nodes = *around.nodes;
  controller::OtherPods pods(pod, nodes);
  if (around.pods) {
    for (const json& other : *around.pods) pods.add(other);
  }
  NodeTraits here;
  for (const json& node : nodes) {
    if (kube::name_of(node) == own) here = controller::traits_of(node);
  }
  const std::vector<NodeReport> reports = report_nodes(nodes, around.templates, std::nullopt);
  std::vector<OtherNode> others;
  for (const json& node : nodes) {
    OtherNode other{.name = kube::name_of(node)};
    if (other.name == own) continue;
    other.obstacles = controller::destination_obstacles(pod, node, here, /*asked_for=*/false);
    if (around.pods) {
      for (std::string& one : pods.obstacles(node)) other.obstacles.push_back(std::move(one));
    }
    const auto report = std::ranges::find(reports, other.name, &NodeReport::name);
    if (!other.obstacles.empty() && !report->message.empty()) other.obstacles.push_back(report->message);
    others.push_back(std::move(other));
  }
  std::ranges::sort(others, {}, &OtherNode::name);
  return others;
}

void render_requirement(const Requirement& requirement, const Look& look, Lines& lines) {
  const cli::Signs& sign = cli::signs(look.unicode);
  Line line;
  line.add("  ").add(requirement.met() ? sign.done : sign.failed, requirement.met() ? Tone::good : Tone::bad);
  lines.push_back(std::move(line.add(" ").add(requirement.name)));
  if (requirement.met()) return;
  for (const std::string& obstacle : requirement.obstacles) add_paragraph(lines, "      " + obstacle, 6, look);
  if (!requirement.remedy.empty()) {
    add_paragraph(lines, "      What to do: " + requirement.remedy, 6, look, Tone::strong);
  }
}

void render_others(const std::vector<OtherNode>& others, const Look& look, Lines& lines) {
  const cli::Signs& sign = cli::signs(look.unicode);
  lines.emplace_back();
  lines.emplace_back(others.empty() ? "There are no other nodes." : "Other nodes:", Tone::faint);
  for (const OtherNode& other : others) {
    const bool good = other.obstacles.empty();
    Line line;
    line.add("  ").add(good ? sign.done : sign.failed, good ? Tone::good : Tone::bad).add(" ").add(other.name);
    lines.push_back(std::move(line.add(good ? " can take it" : "")));
    for (const std::string& obstacle : other.obstacles) add_paragraph(lines, "      " + obstacle, 6, look);
  }
}

}  // namespace

std::optional<bool> Explanation::eligible() const {
  if (!std::ranges::all_of(requirements, &Requirement::met)) return false;
  if (others || labelled) return true;
  return std::nullopt;
}

Explanation explain_pod(const json& pod, const Surroundings& around) {
  Explanation explanation;
  explanation.pod = kube::key_of(pod);
  explanation.node = kube::text_at(pod, "/spec/nodeName");
  explanation.labelled = kube::label_of(pod, api::labels::migration_enabled) == "true";
  if (!around.nodes) {
    explanation.requirements = controller::pod_requirements(pod, around.claims);
    return explanation;
  }
  controller::NodeRoster roster;
  for (const json& node : *around.nodes) roster.update(kube::name_of(node), controller::traits_of(node));
  explanation.requirements = controller::explain(pod, around.claims, roster);
  explanation.others = judge_others(pod, around);
  // The roster knows nodes, not what this pod asks of them.
  Requirement& elsewhere = explanation.requirements.back();
  const bool nowhere =
      std::ranges::none_of(*explanation.others, [](const OtherNode& one) { return one.obstacles.empty(); });
  if (nowhere && elsewhere.met()) elsewhere.obstacles.emplace_back("each of them has something against it, see below");
  return explanation;
}

Lines render_explanation(const Explanation& explanation, const Look& look) {
  const cli::Signs& sign = cli::signs(look.unicode);
  const std::string where = explanation.node.empty() ? "no node yet" : explanation.node;
  Lines lines{Line(fmt::format("Pod {} on {}", explanation.pod, where), Tone::faint)};
  for (const Requirement& requirement : explanation.requirements) render_requirement(requirement, look, lines);
  if (explanation.others) render_others(*explanation.others, look, lines);
  lines.emplace_back();
  const auto unmet = std::ranges::count_if(explanation.requirements, [](const Requirement& one) { return !one.met(); });
  const auto say = [&](const std::string& text, Tone tone) { add_paragraph(lines, text, 2, look, tone); };
  const std::optional<bool> eligible = explanation.eligible();
  if (eligible == true) {
    say(fmt::format("{} {} can be migrated.", sign.done, explanation.pod), Tone::good);
    say("  What its program has open is looked at by its node's agent when the migration begins.", Tone::faint);
  } else if (eligible == false) {
    say(fmt::format("{} {} cannot be migrated: {} of {} requirements {} not met.", sign.failed, explanation.pod, unmet,
                    explanation.requirements.size(), unmet == 1 ? "is" : "are"),
        Tone::bad);
  } else {
    say(fmt::format("{} Whether {} can be migrated is not known: it meets all that a pod must meet, but has no label "
                    "{}, and the nodes cannot be looked at.",
                    sign.unknown, explanation.pod, api::labels::migration_enabled),
        Tone::warning);
  }
  if (explanation.others && eligible == true && !explanation.labelled) {
    say(fmt::format(
            "  The live controller does not say so (label {}): it has not seen the last change yet, or does not "
            "run.",
            api::labels::migration_enabled),
        Tone::warning);
  }
  return lines;
}

}  // namespace godwit::plugin
