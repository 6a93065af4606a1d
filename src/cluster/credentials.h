// Who is who in a cluster: one authority signs a certificate for the API server, for each kubelet and for every client,
// with the names and groups that Kubernetes' own access rules know (see its documentation, "PKI certificates and
// requirements").
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cluster/plan.h"

namespace godwit::cluster {

struct File {
  std::string path;
  std::string text;
  unsigned mode = 0644;
};

struct Credentials {
  std::vector<std::vector<File>> places;  // [0] control plane, [i] node i
  std::string machine_config;             // kubeconfig of the administrator, for the machine itself
};

Result<Credentials> make_credentials(const ClusterPlan& plan, int nodes);

}  // namespace godwit::cluster
