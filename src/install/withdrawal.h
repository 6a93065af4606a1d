// The end of an installation, as far as it is objects of the cluster: what no `helm uninstall` knows of. Runs as a Job
// before the rest is deleted.
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "kube/client.h"

namespace godwit::install {

struct WithdrawalOptions {
  std::string namespace_name;
  milliseconds migrations_patience = std::chrono::minutes(5);
  milliseconds nodes_patience = std::chrono::minutes(5);
};

// In this order: waits until no Migration is under way; ends the controllers; lets the agents' DaemonSet take Godwit
// off all nodes; removes the labels, the finalizers and what the controllers have made. Can be repeated. Errors say
// what is in the way, e.g. which nodes.
Result<> withdraw(kube::Client& client, const WithdrawalOptions& options);

}  // namespace godwit::install
