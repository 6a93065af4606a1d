// Which kind of API object is meant, and the paths of its URLs.
#pragma once

#include <string>
#include <string_view>

namespace godwit::kube {

struct Resource {
  std::string group;  // "" is the core group
  std::string version;
  std::string plural;
  std::string kind;
  bool namespaced = true;

  [[nodiscard]] std::string api_version() const { return group.empty() ? version : group + "/" + version; }
};

// Those of Kubernetes itself that Godwit deals with.
namespace resources {
inline const Resource pods{"", "v1", "pods", "Pod"};
inline const Resource nodes{"", "v1", "nodes", "Node", false};
inline const Resource namespaces{"", "v1", "namespaces", "Namespace", false};
inline const Resource config_maps{"", "v1", "configmaps", "ConfigMap"};
inline const Resource secrets{"", "v1", "secrets", "Secret"};
inline const Resource persistent_volume_claims{"", "v1", "persistentvolumeclaims", "PersistentVolumeClaim"};
inline const Resource services{"", "v1", "services", "Service"};
inline const Resource endpoint_slices{"discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"};
inline const Resource network_policies{"networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"};
inline const Resource leases{"coordination.k8s.io", "v1", "leases", "Lease"};
inline const Resource events{"events.k8s.io", "v1", "events", "Event"};
inline const Resource custom_resource_definitions{"apiextensions.k8s.io", "v1", "customresourcedefinitions",
                                                  "CustomResourceDefinition", false};
inline const Resource mutating_webhook_configurations{
    "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", false};
inline const Resource daemon_sets{"apps", "v1", "daemonsets", "DaemonSet"};
inline const Resource deployments{"apps", "v1", "deployments", "Deployment"};
inline const Resource signing_requests{"certificates.k8s.io", "v1", "certificatesigningrequests",
                                       "CertificateSigningRequest", false};
}  // namespace resources

// One object, or with an empty name a collection. A namespaced resource with an empty namespace: in all namespaces.
struct ObjectPath {
  const Resource& resource;
  std::string namespace_name;
  std::string name;
  std::string subresource;  // "status", "eviction"
};

// "/apis/coordination.k8s.io/v1/namespaces/default/leases/x"
std::string url_path(const ObjectPath& object);
// "pods ns/name", for messages.
std::string shown(const ObjectPath& object);

// Query parameters, in the order they were added. Empty values are left out.
class Query {
 public:
  Query& add(std::string_view name, std::string_view value);
  // "" or "?a=b&c=d", percent-encoded.
  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string percent_encode(std::string_view text);

}  // namespace godwit::kube
