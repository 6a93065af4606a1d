#include "controller/node_room.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "controller/object_reading.h"
#include "kube/json_path.h"
#include "kube/quantity.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr const char* pods_resource = "pods";
constexpr int64_t one = 1000;  // thousandths

Amounts amounts_at(const json& object, const char* pointer) {
  Amounts amounts;
  const json* found = kube::value_at(object, pointer);
  if (found == nullptr || !found->is_object()) return amounts;
  for (const auto& [resource, amount] : found->items()) {
    const auto parsed = kube::parse_quantity(amount.is_string() ? amount.get<std::string>() : amount.dump());
    if (parsed) amounts[resource] = *parsed;
  }
  return amounts;
}

void add_to(Amounts& sum, const Amounts& more) {
  for (const auto& [resource, amount] : more) {
    int64_t& at = sum[resource];
    if (__builtin_add_overflow(at, amount, &at)) at = std::numeric_limits<int64_t>::max();
  }
}

void raise_to(Amounts& most, const Amounts& other) {
  for (const auto& [resource, amount] : other) most[resource] = std::max(most[resource], amount);
}

bool takes_room(const json& pod) {
  return !kube::text_at(pod, "/spec/nodeName").empty() && !has_ended(pod);
}

std::string in_words(const std::string& resource, int64_t amount) {
  if (resource == "memory" || resource.ends_with("storage")) return fmt::format("{} MiB", amount / one >> 20);
  return fmt::format("{:.5g}", static_cast<double>(amount) / one);
}

}  // namespace

Amounts requests_of(const json& pod) {
  constexpr const char* requests = "/resources/requests";
  Amounts together;
  for (const json& container : array_at(pod, "/spec/containers")) add_to(together, amounts_at(container, requests));
  Amounts beginning;  // the most that an init container needs with the sidecars that have begun before it
  Amounts sidecars;
  for (const json& container : array_at(pod, "/spec/initContainers")) {
    Amounts then = amounts_at(container, requests);
    if (kube::text_at(container, "/restartPolicy") == "Always") {
      add_to(sidecars, then);
      raise_to(beginning, sidecars);
    } else {
      add_to(then, sidecars);
      raise_to(beginning, then);
    }
  }
  add_to(together, sidecars);
  raise_to(together, beginning);
  for (const auto& [resource, amount] : amounts_at(pod, "/spec/resources/requests"))
    together[resource] = amount;  // of the pod as a whole
  add_to(together, amounts_at(pod, "/spec/overhead"));
  return together;
}

void NodeRoom::add(const json& pod) {
  if (!takes_room(pod)) return;
  Amounts& taken = taken_[kube::text_at(pod, "/spec/nodeName")];
  add_to(taken, requests_of(pod));
  taken[pods_resource] += one;
}

int64_t NodeRoom::pods_on(const std::string& node) const {
  const auto taken = taken_.find(node);
  return taken == taken_.end() ? 0 : taken->second.at(pods_resource) / one;
}

std::vector<std::string> NodeRoom::shortages(const Amounts& wanted, const json& node) const {
  std::vector<std::string> found;
  const std::string name = kube::name_of(node);
  const Amounts allocatable = amounts_at(node, "/status/allocatable");
  if (allocatable.empty()) return found;  // it does not say what it has
  const auto at = [](const Amounts& amounts, const std::string& resource) {
    const auto amount = amounts.find(resource);
    return amount == amounts.end() ? 0 : amount->second;
  };
  const auto taken = taken_.find(name);
  Amounts all = wanted;
  all[pods_resource] = one;
  for (const auto& [resource, amount] : all) {
    const int64_t whole = at(allocatable, resource);
    const int64_t left = whole - (taken == taken_.end() ? 0 : at(taken->second, resource));
    if (amount <= 0 || amount <= left) continue;
    found.push_back(fmt::format("node {} has too little {}: the pod requests {}, {} of {} are left", name, resource,
                                in_words(resource, amount), in_words(resource, std::max<int64_t>(left, 0)),
                                in_words(resource, whole)));
  }
  return found;
}

}  // namespace godwit::controller
