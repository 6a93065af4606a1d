#include "controller/service_labels.h"

#include <algorithm>

#include "api/label_selector.h"
#include "base/log.h"
#include "kube/json_path.h"

namespace godwit::controller {

using nlohmann::json;

json service_labels(const json& pod, const std::vector<json>& services, const std::vector<json>& policies) {
  const json labels = pod["metadata"].value("labels", json::object());
  const bool restricted = std::ranges::any_of(policies, [&](const json& policy) {
    return api::selects(policy.value("/spec/podSelector"_json_pointer, json::object()), labels).value_or(true);
  });
  json found = json::object();
  if (restricted) return found;
  for (const json& service : services) {
    const json selector = service.value("/spec/selector"_json_pointer, json::object());
    if (!api::selects({{"matchLabels", selector}}, labels).value_or(false)) continue;
    found.update(selector);
  }
  return found;
}

json find_service_labels(kube::Client& client, const json& pod, const kube::Call& call) {
  const kube::ListOptions here = {.namespace_name = kube::namespace_of(pod)};
  const auto services = client.list_all(kube::resources::services, here, call);
  const auto policies = client.list_all(kube::resources::network_policies, here, call);
  if (services && policies) return service_labels(pod, *services, *policies);
  log_warning("{}: its clone is in its Services before it is Ready: {}", kube::key_of(pod),
              (services ? policies.error() : services.error()).message);
  return json::object();
}

}  // namespace godwit::controller
