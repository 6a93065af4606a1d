#include "controller/pod_affinity.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "api/label_selector.h"
#include "controller/node_fit.h"
#include "controller/object_reading.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

const json& required_terms(const json& pod, const char* kind) {
  const std::string path = fmt::format("/spec/affinity/{}/requiredDuringSchedulingIgnoredDuringExecution", kind);
  return array_at(pod, path.c_str());
}

// Whether a term of `owner` is about `other`. `unsure`: the answer where that depends on labels of namespaces, which
// are not looked up.
bool is_about(const json& term, const json& owner, const json& other, bool unsure) {
  const json* selector = kube::value_at(term, "/labelSelector");
  if (selector == nullptr) return false;
  const json* labels = kube::value_at(other, "/metadata/labels");
  if (!api::selects(*selector, labels == nullptr ? json() : *labels).value_or(false)) return false;
  const std::string name = kube::namespace_of(other);
  const json* namespaces = kube::value_at(term, "/namespaces");
  const bool named = namespaces != nullptr && namespaces->is_array() && !namespaces->empty();
  if (named && std::ranges::find(*namespaces, json(name)) != namespaces->end()) return true;
  if (const json* chosen = kube::value_at(term, "/namespaceSelector")) return chosen->empty() || unsure;
  return !named && name == kube::namespace_of(owner);
}

std::string topology_of(const json& term) {
  return kube::text_at(term, "/topologyKey");
}

}  // namespace

PodAffinity::PodAffinity(json pod, const std::vector<json>& nodes) : pod_(std::move(pod)) {
  for (const json& node : nodes) nodes_.emplace(kube::name_of(node), offers_of(node));
  for (const json& term : required_terms(pod_, "podAffinity")) together_.push_back({.term = term, .values = {}});
  for (const json& term : required_terms(pod_, "podAntiAffinity")) apart_.push_back({.term = term, .values = {}});
}

void PodAffinity::add(const json& other) {
  const auto node = nodes_.find(kube::text_at(other, "/spec/nodeName"));
  if (node == nodes_.end() || has_ended(other) || kube::uid_of(other) == kube::uid_of(pod_)) {
    return;
  }
  const auto value_by = [&](const json& term) { return kube::label_of(node->second, topology_of(term)); };
  for (Term& one : together_) {
    if (!is_about(one.term, pod_, other, /*unsure=*/false)) continue;
    one.is_about_any = true;
    one.values.insert(value_by(one.term));
  }
  for (Term& one : apart_) {
    if (is_about(one.term, pod_, other, /*unsure=*/true)) one.values.insert(value_by(one.term));
  }
  for (const json& term : required_terms(other, "podAntiAffinity")) {
    if (is_about(term, other, pod_, /*unsure=*/true)) avoided_by_[topology_of(term)].insert(value_by(term));
  }
}

std::vector<std::string> PodAffinity::misfits(const json& node) const {
  std::vector<std::string> found;
  const std::string name = kube::name_of(node);
  const auto shares = [&](const std::string& key, const std::set<std::string>& values) {
    const std::string value = kube::label_of(node, key);
    return !value.empty() && values.contains(value);
  };
  // The first of pods that want to be together is where it likes.
  const bool first = std::ranges::all_of(together_, [&](const Term& one) {
    return !one.is_about_any && is_about(one.term, pod_, pod_, /*unsure=*/false);
  });
  for (const Term& one : together_) {
    const std::string key = topology_of(one.term);
    if (first ? !kube::label_of(node, key).empty() : shares(key, one.values)) continue;
    found.push_back(fmt::format("on node {} the pod would not be with those of its pod affinity, by {}", name, key));
  }
  for (const Term& one : apart_) {
    const std::string key = topology_of(one.term);
    if (!shares(key, one.values)) continue;
    found.push_back(fmt::format("on node {} the pod would be with one of its pod anti-affinity, by {}", name, key));
  }
  for (const auto& [key, values] : avoided_by_) {
    if (!shares(key, values)) continue;
    found.push_back(fmt::format("near node {} is a pod whose anti-affinity is against this one, by {}", name, key));
  }
  return found;
}

}  // namespace godwit::controller
