#include "controller/node_assessor.h"

#include <algorithm>

#include "api/merge_patch.h"
#include "api/names.h"
#include "base/log.h"
#include "controller/eligibility.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto slow_answer = milliseconds(500);
// A template's status waits for the verdicts on its other nodes, which mostly come together.
constexpr auto template_delay = std::chrono::milliseconds(500);

}  // namespace

Result<> LabelWriter::write(const kube::ObjectPath& object, const json& patch, const std::stop_token& stop) const {
  GODWIT_TRY(pace.take(1));
  const auto sent = Clock::now();
  const auto written = client.patch(object, kube::PatchType::merge, patch, kube::within(call_time, stop));
  // A server that is slow has too much to do, our Lease's renewal included: it is left alone as long again.
  const auto took = std::chrono::ceil<milliseconds>(Clock::now() - sent);
  if (took > slow_answer) kube::sleep_unless_stopped(took, Deadline::never(), stop);
  if (written || written.error().not_found() || written.error().conflict()) return {};
  return std::unexpected(Error(written.error()));
}

NodeAssessor::NodeAssessor(const LabelWriter& writer, const kube::Store& nodes, const kube::Store& templates,
                           const AgentLink& link, NodeAssessorOptions options)
    : writer_(writer),
      nodes_(nodes),
      templates_(templates),
      options_(options),
      agents_(link, options.agents),
      node_loop_("node",
                 [this](const std::string& name, const std::stop_token& stop) { return assess_node(name, stop); }),
      template_loop_("node template", [this](const std::string& name, const std::stop_token& stop) {
        return assess_template(name, stop);
      }) {}

void NodeAssessor::start() {
  node_loop_.start(options_.agents_at_once);
  template_loop_.start(1);
}

void NodeAssessor::stop() {
  node_loop_.stop();
  template_loop_.stop();
}

void NodeAssessor::template_changed(const std::string& name) {
  template_loop_.queue().add(name);
  for (const kube::Object& node : nodes_.list()) node_changed(kube::name_of(*node));
}

std::vector<api::NodeTemplateSpec> NodeAssessor::specs() const {
  std::vector<api::NodeTemplateSpec> all;
  for (const kube::Object& object : templates_.list()) {
    // One that says nothing sensible selects nothing; its status says so.
    if (auto spec = api::read_node_template_spec(*object)) all.push_back(std::move(*spec));
  }
  return all;
}

Result<> NodeAssessor::assess_node(const std::string& name, const std::stop_token& stop) {
  kube::Object node = nodes_.get(name);
  if (node == nullptr) {
    agents_.forget(name);
    remember(name, std::nullopt);
    return {};
  }
  NodeVerdict verdict = judge_node(*node, specs(), agents_.sighting(name));
  if (verdict.ask_agent) {
    const NodeAgent agent{.node = name, .address = internal_address(*node)};
    node_loop_.queue().add_after(name, agents_.look(agent, stop));
    if (stop.stop_requested()) return {};
    node = nodes_.get(name);  // the answer may have taken its time
    if (node == nullptr) return {};
    verdict = judge_node(*node, specs(), agents_.sighting(name));
  } else {
    agents_.forget(name);
  }
  remember(name, verdict);
  std::vector<WantedLabel> labels{{api::labels::custom_network, verdict.custom_network}};
  // As long as it is not decided whether the agent answers, the label of an earlier leader counts.
  const bool undecided = verdict.ask_agent && !agents_.sighting(name);
  if (!undecided) labels.push_back({api::labels::migration_enabled, verdict.enabled});
  const auto patch = label_patch(*node, labels);
  if (!patch) return {};
  if (!undecided) {
    log_info("node {}: {}", name, verdict.enabled ? "supports live migration" : verdict.message);
  }
  return writer_.write({kube::resources::nodes, "", name, ""}, *patch, stop);
}

// Nothing: the node is gone.
void NodeAssessor::remember(const std::string& name, const std::optional<NodeVerdict>& verdict) {
  {
    const std::lock_guard lock(mutex_);
    const auto known = verdicts_.find(name);
    if (verdict ? known != verdicts_.end() && known->second == *verdict : known == verdicts_.end()) return;
    if (verdict) {
      verdicts_.insert_or_assign(name, *verdict);
    } else {
      verdicts_.erase(known);
    }
  }
  for (const kube::Object& object : templates_.list()) {
    template_loop_.queue().add_after(kube::name_of(*object), template_delay);
  }
}

std::vector<JudgedNode> NodeAssessor::nodes_of(const api::NodeTemplateSpec& spec) const {
  std::vector<JudgedNode> selected;
  const std::lock_guard lock(mutex_);
  for (const kube::Object& node : nodes_.list()) {
    if (!api::includes(spec, *node).value_or(false)) continue;
    const std::string name = kube::name_of(*node);
    const auto verdict = verdicts_.find(name);
    selected.push_back({name, verdict == verdicts_.end() ? judge_node(*node, {spec}, {}) : verdict->second});
  }
  std::ranges::sort(selected, {}, &JudgedNode::name);
  return selected;
}

Result<> NodeAssessor::assess_template(const std::string& name, const std::stop_token& stop) {
  const kube::Object object = templates_.get(name);
  if (object == nullptr) return {};
  TemplateVerdict judged;
  if (const auto spec = api::read_node_template_spec(*object)) {
    judged = judge_template(*spec, nodes_of(*spec));
  } else {
    judged.ready = {.type = "Ready",
                    .status = "False",
                    .reason = "InvalidSpec",
                    .message = spec.error().message,
                    .last_transition = ""};
  }
  const int64_t generation = kube::number_at(*object, "/metadata/generation");
  judged.status.observed_generation = generation;
  judged.ready.observed_generation = generation;
  json after = *object;
  api::write_node_template_status(after, judged.status);
  api::set_condition(after["status"], judged.ready, std::chrono::system_clock::now());
  const json patch = api::merge_patch_between(*object, after);
  if (patch.empty()) return {};
  return writer_.write({api::node_templates, "", name, "status"}, patch, stop);
}

}  // namespace godwit::controller
