#include "controller/cluster_view.h"

#include "api/names.h"
#include "base/log.h"
#include "controller/address_keeper.h"
#include "controller/node_fit.h"
#include "controller/pod_assessor.h"
#include "kube/fields.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

kube::InformerOptions transformed_by(std::function<void(json&)> transform) {
  kube::InformerOptions options;
  options.transform = std::move(transform);
  return options;
}

}  // namespace

ClusterView::ClusterView(kube::Client& client)
    : nodes_(client, kube::resources::nodes,
             transformed_by(kube::keep_fields({"/metadata/labels", "/spec/taints", "/status/addresses/*/type",
                                               "/status/addresses/*/address", "/status/conditions/*/type",
                                               "/status/conditions/*/status"}))),
      templates_(client, api::node_templates),
      pods_(client, kube::resources::pods, transformed_by(summarize_pod)),
      claims_(client, kube::resources::persistent_volume_claims,
              transformed_by(kube::keep_fields({"/spec/accessModes"}))) {
  pods_.add_index(pods_by_node, [](const json& pod) {
    std::string node = kube::text_at(pod, "/spec/nodeName");
    return node.empty() ? std::vector<std::string>{} : std::vector<std::string>{std::move(node)};
  });
  pods_.add_index(pods_by_claim, claim_keys_of);
  pods_.add_index(pods_by_demand, [](const json& pod) {
    return !is_movable(pod) || demands_of(pod).empty() ? std::vector<std::string>{}
                                                       : std::vector<std::string>{demanding};
  });
  pods_.add_index(pods_by_address, addresses_of);
  pass_on(nodes_, &Listener::on_node);
  pass_on(templates_, &Listener::on_template);
  pass_on(pods_, &Listener::on_pod);
  pass_on(claims_, &Listener::on_claim);
  nodes_.start();
  templates_.start();
  pods_.start();
  claims_.start();
}

void ClusterView::pass_on(kube::Informer& informer, kube::Informer::Handler Listener::* handler) {
  informer.add_handler([this, handler](const kube::Change& change) {
    const std::lock_guard lock(mutex_);
    if (listener_) ((*listener_).*handler)(change);
  });
}

void ClusterView::listen(Listener listener) {
  const std::lock_guard lock(mutex_);
  listener_ = std::move(listener);
  // What an informer has stored meanwhile and not told yet is told twice.
  const auto tell_all = [](const kube::Store& store, const kube::Informer::Handler& handler) {
    for (const kube::Object& object : store.list()) handler({kube::key_of(*object), nullptr, object});
  };
  tell_all(nodes(), listener_->on_node);
  tell_all(templates(), listener_->on_template);
  tell_all(pods(), listener_->on_pod);
  tell_all(claims(), listener_->on_claim);
}

void ClusterView::listen_no_more() {
  const std::lock_guard lock(mutex_);
  listener_.reset();
}

bool ClusterView::has_synced() const {
  return nodes_.has_synced() && templates_.has_synced() && pods_.has_synced() && claims_.has_synced();
}

void ClusterView::log_trouble() const {
  for (const kube::Informer* informer : {&nodes_, &templates_, &pods_, &claims_}) {
    if (const auto trouble = informer->trouble()) {
      log_warning("nodes and pods are not assessed: {}", trouble->message);
    }
  }
}

}  // namespace godwit::controller
