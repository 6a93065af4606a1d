#include "controller/pod_assessor.h"

#include <algorithm>

#include "api/names.h"
#include "controller/node_fit.h"
#include "controller/object_reading.h"
#include "controller/pod_claims.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

// Our own members of a summary, which no pod has.
constexpr const char* movable_member = "movable";
constexpr const char* arriving_member = "arriving";
constexpr const char* claims_member = "claims";

constexpr size_t changed_threads = 2;

std::string node_of(const json& pod) {
  return kube::text_at(pod, "/spec/nodeName");
}

// A pod that has ended has given them back, though its status goes on naming them.
json addresses_in_use(const json& pod) {
  json addresses = json::array();
  if (has_ended(pod)) return addresses;
  for (const json& address : array_at(pod, "/status/podIPs")) addresses.push_back(kube::text_at(address, "/ip"));
  return addresses;
}

}  // namespace

void summarize_pod(json& pod) {
  json metadata = json::object();
  for (const char* part : {"name", "namespace", "uid", "resourceVersion"}) {
    if (const auto at = pod["metadata"].find(part); at != pod["metadata"].end()) metadata[part] = *at;
  }
  const json* labels = kube::value_at(pod, "/metadata/labels");
  if (labels != nullptr && labels->contains(api::labels::migration_enabled)) {
    metadata["labels"] = {{api::labels::migration_enabled, (*labels)[api::labels::migration_enabled]}};
  }
  json summary = {{"metadata", std::move(metadata)}, {movable_member, pod_obstacles(pod).empty()}};
  if (std::string node = node_of(pod); !node.empty()) {
    summary["spec"] = demands_of(pod);
    summary["spec"]["nodeName"] = std::move(node);
  }
  if (json addresses = addresses_in_use(pod); !addresses.empty()) summary["addresses"] = std::move(addresses);
  if (!kube::annotation_of(pod, api::annotations::restore).empty()) summary[arriving_member] = true;
  if (json claims = claims_of(pod); !claims.empty()) summary[claims_member] = std::move(claims);
  pod = std::move(summary);
}

bool is_movable(const json& summary) {
  return summary.value(movable_member, false);
}

bool is_arriving(const json& summary) {
  return summary.value(arriving_member, false);
}

std::vector<std::string> claim_keys_of(const json& summary) {
  std::vector<std::string> keys;
  for (const json& claim : summary.value(claims_member, json::array())) {
    keys.push_back(kube::namespace_of(summary) + "/" + claim.get<std::string>());
  }
  return keys;
}

PodAssessor::PodAssessor(const LabelWriter& writer, const kube::Store& pods, const kube::Store& claims,
                         const NodeRoster& nodes)
    : writer_(writer),
      pods_(pods),
      claims_(claims),
      nodes_(nodes),
      changed_("pod", [this](const std::string& key, const std::stop_token& stop) { return assess(key, stop); }),
      many_("pod", [this](const std::string& key, const std::stop_token& stop) { return assess(key, stop); }) {}

void PodAssessor::start(size_t threads) {
  started_ = true;
  changed_.start(changed_threads);
  many_.start(threads);
}

void PodAssessor::stop() {
  changed_.stop();
  many_.stop();
}

void PodAssessor::pod_changed(const kube::Change& change) {
  if (change.now == nullptr) return;
  const auto label = [](const json& pod) { return kube::label_of(pod, api::labels::migration_enabled); };
  const bool same = change.before != nullptr && kube::uid_of(*change.before) == kube::uid_of(*change.now) &&
                    is_movable(*change.before) == is_movable(*change.now) &&
                    change.before->value("spec", json()) == change.now->value("spec", json()) &&
                    label(*change.before) == label(*change.now);
  if (!same) (started_ ? changed_ : many_).queue().add(change.key);
}

// Its access modes are for ever: only whether it is there can change.
void PodAssessor::claim_changed(const kube::Change& change) {
  if (change.before != nullptr && change.now != nullptr) return;
  for (const kube::Object& pod : pods_.find(pods_by_claim, change.key)) {
    (started_ ? changed_ : many_).queue().add(kube::key_of(*pod));
  }
}

void PodAssessor::nodes_changed(const NodeRoster::Concern& concern) {
  if (!started_) return;  // every pod is going to be looked at
  const auto look_at = [&](const char* index, const std::string& value) {
    for (const kube::Object& pod : pods_.find(index, value)) many_.queue().add(kube::key_of(*pod));
  };
  for (const std::string& name : concern.nodes) look_at(pods_by_node, name);
  if (concern.demanding) look_at(pods_by_demand, demanding);
}

Result<> PodAssessor::assess(const std::string& key, const std::stop_token& stop) {
  const kube::Object pod = pods_.get(key);
  if (pod == nullptr) return {};
  const bool eligible = is_movable(*pod) && nodes_.suits(*pod) && can_take_volumes(*pod);
  const auto patch = label_patch(*pod, {{api::labels::migration_enabled, eligible}});
  if (!patch) return {};
  return writer_.write({kube::resources::pods, kube::namespace_of(*pod), kube::name_of(*pod), ""}, *patch, stop);
}

bool PodAssessor::can_take_volumes(const json& pod) const {
  return std::ranges::all_of(claim_keys_of(pod), [&](const std::string& key) {
    const kube::Object claim = claims_.get(key);
    return claim != nullptr && is_for_several_nodes(*claim);
  });
}

}  // namespace godwit::controller
