#include "controller/pod_affinity.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "api/label_selector.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

json required_terms(const json& pod, const char* kind) {
  const std::string path = fmt::format("/spec/affinity/{}/requiredDuringSchedulingIgnoredDuringExecution", kind);
  const json* terms = kube::value_at(pod, path.c_str());
  return terms != nullptr && terms->is_array() ? *terms : json::array();
}

// Whether a term of `owner` is about `other`. Namespaces that are chosen by their labels are not looked up: the term is
// about pods of all of them.
bool is_about(const json& term, const json& owner, const json& other) {
  const json* selector = kube::value_at(term, "/labelSelector");
  if (selector == nullptr) return false;
  const json* labels = kube::value_at(other, "/metadata/labels");
  if (!api::selects(*selector, labels == nullptr ? json() : *labels).value_or(false)) return false;
  if (kube::value_at(term, "/namespaceSelector") != nullptr) return true;
  const std::string name = kube::namespace_of(other);
  const json* namespaces = kube::value_at(term, "/namespaces");
  if (namespaces == nullptr || namespaces->empty()) return name == kube::namespace_of(owner);
  return std::ranges::find(*namespaces, json(name)) != namespaces->end();
}

std::string topology_of(const json& term) {
  return kube::text_at(term, "/topologyKey");
}

// Whether `node` has that label with the same value as one of those that are named.
bool shares(const std::string& key, const json& node, const std::set<std::string>& names,
            const std::vector<json>& nodes) {
  const std::string value = kube::label_of(node, key);
  if (value.empty()) return false;
  return std::ranges::any_of(nodes, [&](const json& other) {
    return kube::label_of(other, key) == value && names.contains(kube::name_of(other));
  });
}

}  // namespace

PodAffinity::PodAffinity(json pod) : pod_(std::move(pod)) {
  for (json& term : required_terms(pod_, "podAffinity")) together_.push_back({.term = std::move(term), .nodes = {}});
  for (json& term : required_terms(pod_, "podAntiAffinity")) apart_.push_back({.term = std::move(term), .nodes = {}});
}

void PodAffinity::add(const json& other) {
  const std::string node = kube::text_at(other, "/spec/nodeName");
  const std::string phase = kube::text_at(other, "/status/phase");
  if (node.empty() || phase == "Succeeded" || phase == "Failed" || kube::uid_of(other) == kube::uid_of(pod_)) return;
  for (std::vector<Term>* terms : {&together_, &apart_}) {
    for (Term& one : *terms) {
      if (is_about(one.term, pod_, other)) one.nodes.insert(node);
    }
  }
  for (const json& term : required_terms(other, "podAntiAffinity")) {
    if (is_about(term, other, pod_)) avoided_by_[topology_of(term)].insert(node);
  }
}

std::vector<std::string> PodAffinity::misfits(const json& node, const std::vector<json>& nodes) const {
  std::vector<std::string> found;
  const std::string name = kube::name_of(node);
  for (const auto& [term, there] : together_) {
    // The first of pods that want to be together is where it likes.
    if (there.empty() && is_about(term, pod_, pod_)) continue;
    if (shares(topology_of(term), node, there, nodes)) continue;
    found.push_back(
        fmt::format("on node {} the pod would not be with those of its pod affinity, by {}", name, topology_of(term)));
  }
  for (const auto& [term, there] : apart_) {
    if (!shares(topology_of(term), node, there, nodes)) continue;
    found.push_back(
        fmt::format("on node {} the pod would be with one of its pod anti-affinity, by {}", name, topology_of(term)));
  }
  for (const auto& [key, there] : avoided_by_) {
    if (!shares(key, node, there, nodes)) continue;
    found.push_back(fmt::format("near node {} is a pod whose anti-affinity is against this one, by {}", name, key));
  }
  return found;
}

}  // namespace godwit::controller
