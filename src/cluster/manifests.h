// What every cluster has from the beginning besides what Kubernetes itself makes.
#pragma once

#include <string>

#include "cluster/plan.h"

namespace godwit::cluster {

// For `kubectl apply`: the runtime class "live", whose containers the cluster's live runtime runs (if it has one), and
// the storage classes "shared", volumes for many nodes at a time, and "single", for one (tests/cluster/storage).
std::string manifests(const ClusterPlan& plan);

}  // namespace godwit::cluster
