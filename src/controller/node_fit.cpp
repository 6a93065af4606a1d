#include "controller/node_fit.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "controller/object_reading.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

// Of these the node itself tells, and its taints lag behind.
constexpr std::string_view judged_elsewhere[] = {"node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready",
                                                 "node.kubernetes.io/unreachable"};

constexpr const char* required_affinity = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
constexpr const char* required_terms =
    "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

bool is_judged_elsewhere(const json& taint) {
  return std::ranges::find(judged_elsewhere, taint.value("key", "")) != std::end(judged_elsewhere);
}

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// `value`: null if the node has none of that name.
bool holds(const json& requirement, const json& value) {
  const std::string kind = requirement.value("operator", "");
  const json& values = array_at(requirement, "/values");
  const bool listed = std::ranges::find(values, value) != values.end();
  if (kind == "In") return !value.is_null() && listed;
  if (kind == "NotIn") return !listed;
  if (kind == "Exists") return !value.is_null();
  if (kind == "DoesNotExist") return value.is_null();
  if ((kind == "Gt" || kind == "Lt") && value.is_string() && values.size() == 1 && values[0].is_string()) {
    const auto there = whole_number(value.get<std::string>());
    const auto bound = whole_number(values[0].get<std::string>());
    if (!there || !bound) return false;
    return kind == "Gt" ? *there > *bound : *there < *bound;
  }
  return false;
}

// All requirements of one term.
bool holds_term(const json& term, const json& labels, const std::string& node) {
  const json& expressions = array_at(term, "/matchExpressions");
  const json& fields = array_at(term, "/matchFields");
  if (expressions.empty() && fields.empty()) return false;
  return std::ranges::all_of(expressions,
                             [&](const json& one) {
                               const std::string key = one.value("key", "");
                               return holds(one, labels.contains(key) ? labels[key] : json());
                             }) &&
         std::ranges::all_of(fields, [&](const json& one) { return holds(one, json(node)); });
}

bool tolerates(const json& toleration, const json& taint) {
  const std::string effect = toleration.value("effect", "");
  if (!effect.empty() && effect != taint.value("effect", "")) return false;
  const std::string key = toleration.value("key", "");
  const bool exists = toleration.value("operator", "Equal") == "Exists";
  if (key.empty()) return exists;
  return key == taint.value("key", "") && (exists || toleration.value("value", "") == taint.value("value", ""));
}

}  // namespace

std::vector<std::string> misfits(const json& pod, const json& node) {
  std::vector<std::string> found;
  const std::string name = kube::name_of(node);
  static const json no_labels = json::object();
  const json* labelled = kube::value_at(node, "/metadata/labels");
  const json& labels = labelled == nullptr ? no_labels : *labelled;
  const json* selected = kube::value_at(pod, "/spec/nodeSelector");
  const json selector = selected == nullptr ? json::object() : *selected;
  for (const auto& [key, value] : selector.items()) {
    if (labels.contains(key) && labels[key] == value) continue;
    found.push_back(fmt::format("node {} has not the label {}={}, which the pod selects", name, key,
                                value.is_string() ? value.get<std::string>() : value.dump()));
  }
  const json& terms = array_at(pod, required_terms);
  const auto term_holds = [&](const json& term) { return holds_term(term, labels, name); };
  if (!terms.empty() && std::ranges::none_of(terms, term_holds)) {
    found.push_back(fmt::format("node {} is none of those that the pod's node affinity requires", name));
  }
  for (const json& taint : array_at(node, "/spec/taints")) {
    const std::string effect = taint.value("effect", "");
    if (effect != "NoSchedule" && effect != "NoExecute") continue;
    if (is_judged_elsewhere(taint)) continue;
    const json& tolerations = array_at(pod, "/spec/tolerations");
    if (std::ranges::any_of(tolerations, [&](const json& one) { return tolerates(one, taint); })) continue;
    found.push_back(fmt::format("node {} has the taint {}={}:{}, which the pod does not tolerate", name,
                                taint.value("key", ""), taint.value("value", ""), effect));
  }
  return found;
}

json demands_of(const json& pod) {
  json demands = json::object();
  if (const json* selector = kube::value_at(pod, "/spec/nodeSelector"); selector != nullptr && !selector->empty()) {
    demands["nodeSelector"] = *selector;
  }
  if (const json* affinity = kube::value_at(pod, required_affinity); affinity != nullptr) {
    demands["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = *affinity;
  }
  for (const json& toleration : array_at(pod, "/spec/tolerations")) {
    // Kubernetes gives these to every pod.
    if (!is_judged_elsewhere(toleration)) demands["tolerations"].push_back(toleration);
  }
  return demands;
}

json offers_of(const json& node) {
  json offers = {{"metadata", {{"name", kube::name_of(node)}}}};
  if (const json* labels = kube::value_at(node, "/metadata/labels")) offers["metadata"]["labels"] = *labels;
  if (const json* taints = kube::value_at(node, "/spec/taints")) offers["spec"]["taints"] = *taints;
  return offers;
}

}  // namespace godwit::controller
