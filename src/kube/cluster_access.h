// Where the API server is and how to be let in, as a kubeconfig file or a pod's service account says it. Passive data;
// what it means at a given moment (tokens expire, files change) is credentials.h.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace godwit::kube {

// Something that stands in the configuration itself or in a file that may be replaced at any time.
struct Material {
  std::string data;
  std::string path;  // counts if `data` is empty

  [[nodiscard]] bool empty() const { return data.empty() && path.empty(); }
};

// A program that prints credentials (client.authentication.k8s.io ExecCredential).
struct ExecPlugin {
  std::string api_version;
  std::vector<std::string> argv;
  std::vector<std::string> environment;  // "NAME=value"
  std::string directory;                 // of the kubeconfig file, for a relative path with a slash in it
  std::string install_hint;
  bool provide_cluster_info = false;
};

struct ClusterAccess {
  std::string server;  // https://host:port
  std::string tls_server_name;
  std::string proxy_url;
  bool verify = true;
  Material ca;
  Material client_certificate;
  Material client_key;
  Material token;
  std::string username;
  std::string password;
  std::optional<ExecPlugin> exec;
  std::string impersonate_user;
  std::vector<std::string> impersonate_groups;
  std::string namespace_name = "default";
  std::string source;  // for people: "context prod of /root/.kube/config"
};

struct KubeconfigChoice {
  std::string path;     // empty: $KUBECONFIG (files joined by ':'), else ~/.kube/config
  std::string context;  // empty: current-context
};

Result<ClusterAccess> load_kubeconfig(const KubeconfigChoice& choice);

inline constexpr const char* service_account_directory = "/var/run/secrets/kubernetes.io/serviceaccount";
// From the environment and the files that Kubernetes gives a pod.
Result<ClusterAccess> in_cluster_access(const std::string& directory = service_account_directory);

// The kubeconfig if one is chosen by `choice` or $KUBECONFIG; else in-cluster if this is a pod; else ~/.kube/config.
Result<ClusterAccess> find_cluster_access(const KubeconfigChoice& choice);

}  // namespace godwit::kube
