#include <cstdlib>

#include "kube/cluster_access.h"
#include "os/file.h"

namespace godwit::kube {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

constexpr const char* host_variable = "KUBERNETES_SERVICE_HOST";
constexpr const char* port_variable = "KUBERNETES_SERVICE_PORT";

}  // namespace

Result<ClusterAccess> in_cluster_access(const std::string& directory) {
  std::string host = variable(host_variable);
  const std::string port = variable(port_variable);
  if (host.empty() || port.empty()) return fail("not in a pod: {} and {} are not set", host_variable, port_variable);
  if (host.contains(':')) host = "[" + host + "]";
  ClusterAccess access;
  access.server = "https://" + host + ":" + port;
  access.ca.path = directory + "/ca.crt";
  access.token.path = directory + "/token";
  for (const std::string& path : {access.ca.path, access.token.path}) {
    if (!os::exists(path)) return fail("{} is missing: is automountServiceAccountToken off?", path);
  }
  if (auto name = os::read_file(directory + "/namespace", 4096); name && !name->empty()) access.namespace_name = *name;
  access.source = "the pod's service account";
  return access;
}

Result<ClusterAccess> find_cluster_access(const KubeconfigChoice& choice) {
  const bool chosen = !choice.path.empty() || !choice.context.empty() || !variable("KUBECONFIG").empty();
  if (!chosen && !variable(host_variable).empty()) return in_cluster_access();
  return load_kubeconfig(choice);
}

}  // namespace godwit::kube
