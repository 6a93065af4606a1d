// What can be done to a cluster, each with its undoing: for tests of what must survive it, and by hand with
// `godwit-cluster fault`.
#pragma once

#include <string>
#include <vector>

#include "cluster/cluster.h"

namespace godwit::cluster {

// Place 0 has etcd, kube-apiserver, kube-controller-manager, kube-scheduler and storage-controller; a node containerd,
// kubelet, kube-proxy and storage-node. What is stopped by SIGSTOP (signal_component()) hangs, what is killed refuses
// connections.
std::vector<Component> components_of(const Cluster& cluster, int place);
Result<> kill(const Cluster& cluster, int place, const std::string& component);
// Starts it as the cluster did; kills it first if it runs.
Result<> restart(const Cluster& cluster, int place, const std::string& component);

// As a power cut.
Result<> kill_node(Cluster& cluster, int node);
// Switches it on again, with all its components; its disk is as it was, its containers are gone.
Result<> restart_node(Cluster& cluster, int node);

// Pulls the node's cable, or plugs it in again.
Result<> cut_network(Cluster& cluster, int node);
Result<> heal_network(Cluster& cluster, int node);

struct SlowLink {
  int rate_kbit_s = 0;      // in each direction; 0: as fast as it is
  double loss_percent = 0;  // of the packets in each direction, at random
};
// All that a node sends and receives by its cable. A SlowLink of zeros makes it as it was.
Result<> slow_link(const Cluster& cluster, int node, const SlowLink& how);
// Lets everything that asks the API server wait for this long, and returns when it is over.
Result<> stall_api_server(const Cluster& cluster, milliseconds how_long);

// Leaves no free byte on the node's disk, by making it as small as what is on it; so no memory is spent on it.
Result<> fill_disk(const Cluster& cluster, int node);
Result<> free_disk(const Cluster& cluster, int node);

}  // namespace godwit::cluster
