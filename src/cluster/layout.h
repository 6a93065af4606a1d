// What is where in a test cluster: names, addresses and paths, for everyone who has to agree on them.
//
// The control plane (etcd, API server, controller manager, scheduler) runs in the lab's place "outside", so that any
// node can die without it; the nodes are workers. 10.88.0.0/16 is the nodes' network (lab/layout.h).
#pragma once

#include <string>

#include <fmt/core.h>

#include "lab/layout.h"

namespace godwit::cluster {

inline constexpr int control_plane = lab::outside_index;
inline constexpr int api_port = 6443;

// In every place.
inline constexpr const char* kubernetes_in_node = "/opt/kubernetes";
inline constexpr const char* container_images_in_node = "/opt/container-images";
inline constexpr const char* config_folder = "/etc/kubernetes";
inline constexpr const char* pid_folder = "/run/kubernetes";
inline constexpr const char* log_folder = "/var/log/kubernetes";
// Kubeconfig of the cluster's administrator, as the places see the API server.
inline constexpr const char* admin_config = "/etc/kubernetes/admin.conf";

inline constexpr const char* service_range = "10.201.0.0/16";
inline constexpr const char* api_service_address = "10.201.0.1";
inline constexpr const char* routed_pod_range = "10.244.0.0/16";
// The flat network's own: pods of node i get 10.88.<i>.1 to 10.88.<i>.254, and may take them to any other node.
inline constexpr const char* flat_pod_range = "10.88.0.0/16";
// Flat: every node is the gateway of the pods on it, under one address that is the same everywhere.
inline constexpr const char* flat_gateway = "10.88.255.254";

// In dual-stack clusters, besides: the same layout below one unique local prefix.
inline constexpr const char* service_range_v6 = "fd88:201::/112";
inline constexpr const char* routed_pod_range_v6 = "fd88:244::/56";
inline constexpr const char* flat_pod_range_v6 = "fd88::/64";
inline constexpr const char* flat_gateway_v6 = "fd88::ffff";
inline std::string place_address_v6(int index) {
  return index == lab::outside_index ? "fd88::1" : fmt::format("fd88::{:x}", 0x10 + index);
}

// What a cluster of this name writes down beside its lab's own record; gone with it.
inline std::string record_path(const std::string& cluster) {
  return lab::state_directory(cluster) + "/cluster.json";
}
// The administrator's kubeconfig for programs of this machine.
inline std::string machine_config_path(const std::string& cluster) {
  return lab::state_directory(cluster) + "/kubeconfig";
}

}  // namespace godwit::cluster
