#include "controller/assessment.h"

#include "api/names.h"
#include "base/log.h"
#include "kube/fields.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto sync_poll = std::chrono::milliseconds(50);
constexpr auto sync_patience = std::chrono::seconds(30);

std::unique_ptr<kube::Informer> make_informer(kube::Client& client, const kube::Resource& resource,
                                              std::function<void(json&)> transform) {
  kube::InformerOptions options;
  options.transform = std::move(transform);
  return std::make_unique<kube::Informer>(client, resource, std::move(options));
}

// A kubelet's sign of life alone changes nothing of what was kept.
bool same_node(const json& a, const json& b) {
  for (const char* part : {"/metadata/uid", "/metadata/labels", "/status"}) {
    const json* left = kube::value_at(a, part);
    const json* right = kube::value_at(b, part);
    if ((left == nullptr) != (right == nullptr) || (left != nullptr && *left != *right)) return false;
  }
  return true;
}

}  // namespace

Assessment::Assessment(kube::Client& client, const AgentLink& agents, AssessmentOptions options)
    : options_(options),
      pace_(options.patches_per_s),
      writer_{.client = client, .pace = pace_},
      nodes_(make_informer(
          client, kube::resources::nodes,
          kube::keep_fields({"/metadata/labels", "/status/addresses/*/type", "/status/addresses/*/address",
                             "/status/conditions/*/type", "/status/conditions/*/status"}))),
      templates_(make_informer(client, api::node_templates, kube::drop_managed_fields)),
      pods_(make_informer(client, kube::resources::pods, summarize_pod)),
      node_assessor_(writer_, nodes_->store(), templates_->store(), agents, options.nodes),
      pod_assessor_(writer_, pods_->store(), roster_),
      address_keeper_(nodes_->store(), pods_->store(), agents, options.addresses) {
  watch_nodes();
  watch_templates();
  watch_pods();
}

Assessment::~Assessment() {
  stop();
  nodes_.reset();
  templates_.reset();
  pods_.reset();
}

void Assessment::watch_nodes() {
  nodes_->add_handler([this](const kube::Change& change) {
    if (change.before != nullptr && change.now != nullptr && same_node(*change.before, *change.now)) return;
    pod_assessor_.nodes_changed(
        roster_.update(change.key, change.now == nullptr ? std::nullopt : std::optional(traits_of(*change.now))));
    node_assessor_.node_changed(change.key);
    address_keeper_.node_changed(change.key);
  });
}

void Assessment::watch_templates() {
  templates_->add_handler([this](const kube::Change& change) {
    const auto spec = [](const kube::Object& object) {
      return object == nullptr ? json() : object->value("spec", json());
    };
    // What was written into its status by us.
    if (change.before != nullptr && change.now != nullptr && spec(change.before) == spec(change.now)) return;
    node_assessor_.template_changed(change.key);
  });
}

void Assessment::watch_pods() {
  pods_->add_index(pods_by_node, [](const json& pod) {
    std::string node = kube::text_at(pod, "/spec/nodeName");
    return node.empty() ? std::vector<std::string>{} : std::vector<std::string>{std::move(node)};
  });
  pods_->add_index(pods_by_address, addresses_of);
  pods_->add_handler([this](const kube::Change& change) {
    pod_assessor_.pod_changed(change);
    address_keeper_.pod_changed(change);
  });
}

void Assessment::start() {
  nodes_->start();
  templates_->start();
  pods_->start();
  starter_ = std::jthread([this](const std::stop_token& stop) { begin_when_synced(stop); });
}

void Assessment::begin_when_synced(const std::stop_token& stop) {
  Deadline patience = Deadline::after(sync_patience);
  while (!nodes_->has_synced() || !templates_->has_synced() || !pods_->has_synced()) {
    if (!kube::sleep_unless_stopped(sync_poll, Deadline::never(), stop)) return;
    if (!patience.expired()) continue;
    patience = Deadline::after(sync_patience);
    for (const kube::Informer* informer : {nodes_.get(), templates_.get(), pods_.get()}) {
      const auto trouble = informer->trouble();
      if (trouble) log_warning("nodes and pods are not assessed: {}", trouble->message);
    }
  }
  log_info("assessing {} nodes of {} node templates, and {} pods", nodes_->store().size(), templates_->store().size(),
           pods_->store().size());
  node_assessor_.start();
  pod_assessor_.start(options_.pods_at_once);
  address_keeper_.start();
}

void Assessment::stop() {
  starter_ = {};
  pace_.close();
  node_assessor_.stop();
  pod_assessor_.stop();
  address_keeper_.stop();
}

}  // namespace godwit::controller
