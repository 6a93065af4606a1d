// A node of a cluster: containerd, kubelet and kube-proxy, what they are configured with, and what the node needs
// before they start.
#pragma once

#include <string>
#include <vector>

#include "cluster/component.h"
#include "cluster/credentials.h"
#include "cluster/plan.h"

namespace godwit::cluster {

// In the order in which they are to be started: containerd, kubelet, kube-proxy, storage-node.
std::vector<Component> worker_components(const ClusterPlan& plan, int index);
std::vector<File> worker_files(const ClusterPlan& plan, int index);
// A shell script that makes a place ready for its files and components, control plane or node: folders on the place's
// disk, images, settings of the kernel, network. Run anew after a restart of the node.
std::string prepare_script(const ClusterPlan& plan, int index);

}  // namespace godwit::cluster
