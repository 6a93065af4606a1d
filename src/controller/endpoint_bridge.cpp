#include "controller/endpoint_bridge.h"

#include <algorithm>
#include <set>

#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr const char* managed_by_label = "endpointslice.kubernetes.io/managed-by";
constexpr const char* service_label = "kubernetes.io/service-name";
constexpr const char* pod_label = "live.cast.ai/moving-pod";
constexpr const char* manager = "live.cast.ai";
constexpr size_t name_bytes_max = 253;

bool is_ready_endpoint(const json& endpoint) {
  const json* ready = kube::value_at(endpoint, "/conditions/ready");
  return ready == nullptr || *ready != false;
}

bool is_bridge(const json& slice) {
  return kube::label_of(slice, managed_by_label) == manager;
}

// Without what says that nobody should be sent there any more.
json kept(const json& endpoint) {
  json copy = endpoint;
  copy.erase("targetRef");
  copy["conditions"] = {{"ready", true}, {"serving", true}, {"terminating", false}};
  return copy;
}

}  // namespace

std::vector<json> bridging_slices(const std::vector<json>& slices, const std::string& pod, const std::string& uid) {
  std::vector<json> bridges;
  for (const json& slice : slices) {
    const std::string service = kube::label_of(slice, service_label);
    if (service.empty() || is_bridge(slice)) continue;
    json endpoints = json::array();
    for (const json& endpoint : slice.value("endpoints", json::array())) {
      if (kube::text_at(endpoint, "/targetRef/uid") == uid && is_ready_endpoint(endpoint)) {
        endpoints.push_back(kept(endpoint));
      }
    }
    if (endpoints.empty()) continue;
    const json labels = {{service_label, service}, {managed_by_label, manager}, {pod_label, pod}};
    json bridge = {{"apiVersion", kube::resources::endpoint_slices.api_version()},
                   {"kind", kube::resources::endpoint_slices.kind},
                   {"metadata",
                    {{"name", ("godwit-" + kube::name_of(slice)).substr(0, name_bytes_max)},
                     {"namespace", kube::namespace_of(slice)},
                     {"labels", labels}}},
                   {"addressType", slice.value("addressType", "IPv4")},
                   {"endpoints", endpoints},
                   {"ports", slice.value("ports", json::array())}};
    bridges.push_back(std::move(bridge));
  }
  return bridges;
}

bool bridge_is_needed(const std::vector<json>& slices, const std::string& pod) {
  std::set<std::string> bridged;
  std::set<std::string> served;
  for (const json& slice : slices) {
    const std::string service = kube::label_of(slice, service_label);
    if (is_bridge(slice) && kube::label_of(slice, pod_label) == pod) bridged.insert(service);
    if (is_bridge(slice)) continue;
    for (const json& endpoint : slice.value("endpoints", json::array())) {
      if (kube::text_at(endpoint, "/targetRef/name") == pod && is_ready_endpoint(endpoint)) served.insert(service);
    }
  }
  return !std::ranges::includes(served, bridged);
}

Result<bool> bridge_is_needed(kube::Client& client, const std::string& namespace_name, const std::string& pod,
                              const kube::Call& call) {
  GODWIT_ASSIGN(const std::vector<json> slices,
                client.list_all(kube::resources::endpoint_slices, {.namespace_name = namespace_name}, call));
  return bridge_is_needed(slices, pod);
}

Result<> bridge_endpoints(kube::Client& client, const std::string& namespace_name, const std::string& pod,
                          const std::string& uid, const kube::Call& call) {
  GODWIT_ASSIGN(const std::vector<json> slices,
                client.list_all(kube::resources::endpoint_slices, {.namespace_name = namespace_name}, call));
  for (const json& bridge : bridging_slices(slices, pod, uid)) {
    const auto made = client.create({kube::resources::endpoint_slices, namespace_name, "", ""}, bridge, call);
    if (!made && !made.error().already_exists()) return std::unexpected(made.error());
  }
  return {};
}

Result<> remove_endpoint_bridge(kube::Client& client, const std::string& namespace_name, const std::string& pod,
                                const kube::Call& call) {
  const std::string ours = fmt::format("{}={},{}={}", managed_by_label, manager, pod_label, pod);
  GODWIT_ASSIGN(const std::vector<json> slices,
                client.list_all(kube::resources::endpoint_slices,
                                {.namespace_name = namespace_name, .label_selector = ours}, call));
  for (const json& slice : slices) {
    const auto removed =
        client.remove({kube::resources::endpoint_slices, namespace_name, kube::name_of(slice), ""}, {}, call);
    if (!removed && !removed.error().not_found()) return std::unexpected(removed.error());
  }
  return {};
}

}  // namespace godwit::controller
