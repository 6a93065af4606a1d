#include "controller/assessment.h"

#include "base/log.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto sync_poll = std::chrono::milliseconds(50);
constexpr auto sync_patience = std::chrono::seconds(30);

// A kubelet's sign of life alone changes nothing of what was kept.
bool same_node(const json& a, const json& b) {
  for (const char* part : {"/metadata/uid", "/metadata/labels", "/spec", "/status"}) {
    const json* left = kube::value_at(a, part);
    const json* right = kube::value_at(b, part);
    if ((left == nullptr) != (right == nullptr) || (left != nullptr && *left != *right)) return false;
  }
  return true;
}

}  // namespace

Assessment::Assessment(kube::Client& client, ClusterView& view, const AgentLink& agents, AssessmentOptions options)
    : options_(options),
      pace_(options.patches_per_s),
      writer_{.client = client, .pace = pace_},
      view_(view),
      node_assessor_(writer_, view.nodes(), view.templates(), agents, options.nodes),
      pod_assessor_(writer_, view.pods(), view.claims(), roster_),
      address_keeper_(view.nodes(), view.pods(), agents, options.addresses) {}

void Assessment::node_changed(const kube::Change& change) {
  if (change.before != nullptr && change.now != nullptr && same_node(*change.before, *change.now)) return;
  pod_assessor_.nodes_changed(
      roster_.update(change.key, change.now == nullptr ? std::nullopt : std::optional(traits_of(*change.now))));
  node_assessor_.node_changed(change.key);
  address_keeper_.node_changed(change.key);
}

void Assessment::template_changed(const kube::Change& change) {
  const auto spec = [](const kube::Object& object) {
    return object == nullptr ? json() : object->value("spec", json());
  };
  // What was written into its status by us.
  if (change.before != nullptr && change.now != nullptr && spec(change.before) == spec(change.now)) return;
  node_assessor_.template_changed(change.key);
}

void Assessment::start() {
  view_.listen({.on_node = [this](const kube::Change& change) { node_changed(change); },
                .on_template = [this](const kube::Change& change) { template_changed(change); },
                .on_pod =
                    [this](const kube::Change& change) {
                      pod_assessor_.pod_changed(change);
                      address_keeper_.pod_changed(change);
                    },
                .on_claim = [this](const kube::Change& change) { pod_assessor_.claim_changed(change); }});
  starter_ = std::jthread([this](const std::stop_token& stop) { begin_when_synced(stop); });
}

void Assessment::begin_when_synced(const std::stop_token& stop) {
  Deadline patience = Deadline::after(sync_patience);
  while (!view_.has_synced()) {
    if (!kube::sleep_unless_stopped(sync_poll, Deadline::never(), stop)) return;
    if (!patience.expired()) continue;
    patience = Deadline::after(sync_patience);
    view_.log_trouble();
  }
  log_info("assessing {} nodes of {} node templates, and {} pods", view_.nodes().size(), view_.templates().size(),
           view_.pods().size());
  node_assessor_.start();
  pod_assessor_.start(options_.pods_at_once);
  address_keeper_.start();
}

void Assessment::stop() {
  view_.listen_no_more();
  starter_ = {};
  pace_.close();
  node_assessor_.stop();
  pod_assessor_.stop();
  address_keeper_.stop();
}

}  // namespace godwit::controller
