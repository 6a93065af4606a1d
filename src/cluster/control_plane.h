// The programs of the control plane, and what they are started with.
#pragma once

#include <vector>

#include "cluster/component.h"
#include "cluster/plan.h"

namespace godwit::cluster {

// In the order in which they are to be started: etcd, kube-apiserver, kube-controller-manager, kube-scheduler,
// storage-controller.
std::vector<Component> control_plane_components(const ClusterPlan& plan);

}  // namespace godwit::cluster
