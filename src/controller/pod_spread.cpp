#include "controller/pod_spread.h"

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

json labels_of(const json& object) {
  const json* labels = kube::value_at(object, "/metadata/labels");
  return labels == nullptr ? json::object() : *labels;
}

// With the values that the pod itself has of the labels that `matchLabelKeys` names. Null: it selects nothing.
json selector_of(const json& constraint, const json& pod) {
  json selector = constraint.value("labelSelector", json());
  if (selector.is_null()) return selector;
  for (const json& key : constraint.value("matchLabelKeys", json::array())) {
    const std::string value = kube::label_of(pod, key.get<std::string>());
    if (!value.empty()) selector["matchLabels"][key.get<std::string>()] = value;
  }
  return selector;
}

bool selects(const json& selector, const json& pod) {
  return !selector.is_null() && api::selects(selector, labels_of(pod)).value_or(false);
}

// Whether pods on that node count: by default where the pod's selector and affinity let it, whatever the taints.
bool counts(const json& constraint, const json& pod, const json& node) {
  json judged = offers_of(node);
  if (constraint.value("nodeTaintsPolicy", "Ignore") == "Ignore") judged.erase("spec");
  json asking = {{"spec", demands_of(pod)}};
  if (constraint.value("nodeAffinityPolicy", "Honor") == "Ignore") {
    asking["spec"].erase("nodeSelector");
    asking["spec"].erase("affinity");
  }
  return misfits(asking, judged).empty();
}

}  // namespace

PodSpread::PodSpread(json pod, const std::vector<json>& nodes) : pod_(std::move(pod)) {
  for (const json& one : array_at(pod_, "/spec/topologySpreadConstraints")) {
    if (kube::text_at(one, "/whenUnsatisfiable") != "DoNotSchedule") continue;
    Constraint constraint{.wanted = one, .selector = selector_of(one, pod_), .domains = {}, .pods = {}};
    for (const json& node : nodes) {
      const std::string domain = kube::label_of(node, kube::text_at(one, "/topologyKey"));
      if (domain.empty() || !counts(one, pod_, node)) continue;
      constraint.domains[kube::name_of(node)] = domain;
      constraint.pods[domain] = 0;
    }
    constraints_.push_back(std::move(constraint));
  }
}

void PodSpread::add(const json& other) {
  if (constraints_.empty() || kube::uid_of(other) == kube::uid_of(pod_)) return;
  const bool going = kube::value_at(other, "/metadata/deletionTimestamp") != nullptr;
  if (going || has_ended(other) || kube::namespace_of(other) != kube::namespace_of(pod_)) return;
  const std::string node = kube::text_at(other, "/spec/nodeName");
  for (Constraint& one : constraints_) {
    const auto domain = one.domains.find(node);
    if (domain != one.domains.end() && selects(one.selector, other)) ++one.pods[domain->second];
  }
}

std::vector<std::string> PodSpread::misfits(const json& node) const {
  std::vector<std::string> found;
  const std::string name = kube::name_of(node);
  for (const Constraint& one : constraints_) {
    const std::string key = kube::text_at(one.wanted, "/topologyKey");
    const auto domain = one.domains.find(name);
    if (domain == one.domains.end()) {
      found.push_back(fmt::format("node {} has no label {}, by which the pod is to be spread", name, key));
      continue;
    }
    const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
    const bool too_few_domains = std::cmp_less(one.pods.size(), kube::number_at(one.wanted, "/minDomains"));
    const int64_t fewest = too_few_domains ? 0 : std::ranges::min_element(one.pods, fewer)->second;
    const int64_t with_it = one.pods.at(domain->second) + (selects(one.selector, pod_) ? 1 : 0);
    if (with_it - fewest <= kube::number_at(one.wanted, "/maxSkew")) continue;
    found.push_back(fmt::format("on node {} the pod would be one of {} in {}={}, while there are {} elsewhere", name,
                                with_it, key, domain->second, fewest));
  }
  return found;
}

}  // namespace godwit::controller
