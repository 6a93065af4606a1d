// Runs a credential plugin: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "kube/cluster_access.h"

namespace godwit::kube {

struct PluginCredentials {
  std::string token;
  std::string certificate_pem;
  std::string key_pem;
  std::optional<std::chrono::system_clock::time_point> expires;  // none: valid until the server refuses them
};

// The plugin's standard error is ours, standard input is empty. Errors: it cannot be started, fails, takes too long, or
// prints no ExecCredential of the version it was asked for.
Result<PluginCredentials> run_exec_plugin(const ClusterAccess& access, Deadline deadline);

// The plugin's standard output, decoded.
Result<PluginCredentials> decode_exec_credential(const std::string& output, const std::string& api_version);

}  // namespace godwit::kube
