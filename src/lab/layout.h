// What is where in a lab: names, addresses and paths, for everyone who has to agree on them.
//
// A lab is N nodes on one machine. Its places are the nodes, numbered from 1, and place 0, "outside": the network that
// the nodes' cables end in, where clients of the containers run.
#pragma once

#include <cstdlib>
#include <string>

#include <fmt/core.h>

namespace godwit::lab {

inline constexpr int nodes_max = 64;
inline constexpr int outside_index = 0;
inline constexpr const char* state_root = "/run/godwit-lab";
// Every node sees the image here, read-only, as the lower layer of its containers' root file systems.
inline constexpr const char* image_in_node = "/image";
inline constexpr const char* binaries_in_node = "/opt/godwit";
inline constexpr const char* data_in_node = "/var/lib/godwit";
inline constexpr const char* certificates_in_node = "/etc/godwit";
// A folder that all places share, as machines share network storage; gone with the lab.
inline constexpr const char* shared_in_node = "/srv/shared";
// Where "outside" keeps the nodes' disks (their data_in_node), so that a node finds its own again when it is restarted.
inline constexpr const char* disks_in_outside = "/run/disks";

// One flat network 10.88.0.0/16: 10.88.0.1 is outside, 10.88.0.<10 + i> node i; containers take 10.88.<1 and up>.x.
inline constexpr int prefix_bits = 16;
inline std::string place_name(int index) {
  return index == outside_index ? "outside" : fmt::format("node-{}", index);
}
inline std::string place_address(int index) {
  return index == outside_index ? "10.88.0.1" : fmt::format("10.88.0.{}", 10 + index);
}

// What tools/ builds once for all and keeps, e.g. "image".
inline std::string built(const std::string& name) {
  const char* cache = std::getenv("GODWIT_CACHE");
  return std::string(cache == nullptr || *cache == '\0' ? "/var/cache/godwit" : cache) + "/" + name;
}

inline std::string state_directory(const std::string& lab) {
  return fmt::format("{}/{}", state_root, lab);
}
inline std::string shared_directory(const std::string& lab) {
  return state_directory(lab) + "/shared";
}
// Where a node's disk is mounted before the node has a root of its own.
inline std::string disk_directory(const std::string& lab, int index) {
  return fmt::format("{}/disks/{}", state_directory(lab), place_name(index));
}
// Who a node is (its certificate), for its restart.
inline std::string identity_path(const std::string& lab, int index) {
  return fmt::format("{}/{}.identity", state_directory(lab), place_name(index));
}
// Where a place starts programs on request (place_server.h).
inline std::string place_socket(const std::string& lab, int index) {
  return fmt::format("{}/{}.sock", state_directory(lab), place_name(index));
}
// Below the mount point of each cgroup hierarchy.
inline std::string lab_cgroup(const std::string& lab) {
  return "godwit-lab-" + lab;
}
inline std::string place_cgroup(const std::string& lab, int index) {
  return lab_cgroup(lab) + "/" + place_name(index);
}
// The outside end of a node's cable.
inline std::string uplink_name(int index) {
  return fmt::format("uplink-{}", index);
}
// What a place's first process calls itself, as far as the kernel has room for it.
inline std::string process_name(const std::string& lab, int index) {
  constexpr size_t comm_bytes_max = 15;
  return (index == outside_index ? "lab-" + lab : place_name(index)).substr(0, comm_bytes_max);
}

}  // namespace godwit::lab
