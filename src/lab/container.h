// Containers for the demo and the tests: OCI bundles as a container engine would make them, run by runc.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "lab/lab.h"

namespace godwit::lab {

struct ContainerSpec {
  std::string name;  // also its host name; unique on its node
  std::vector<std::string> args;
  std::string address;                   // "10.88.1.5/16", within the lab's network
  std::vector<std::string> environment;  // "NAME=value", added to PATH and HOME
  std::string directory = "/";
  unsigned uid = 0;
  unsigned gid = 0;
  unsigned long memory_limit_bytes = 0;  // 0: none
  unsigned cpu_limit_percent = 0;        // of one processor, in periods of 100 ms; 0: none
  std::vector<std::string> tmpfs;        // besides /tmp and /dev/shm
  unsigned long shm_limit_bytes = 64 << 20;
  std::vector<std::string> denied_syscalls;  // by seccomp, with EPERM; empty: no filter
};

// In the node: its bundle (config.json, rootfs and the layer `upper` that it writes to), its network namespace, and the
// node's end of its cable, a port of br0.
std::string bundle_path(const std::string& name);
std::string container_netns_path(const std::string& name);
Result<std::string> cable_name(const std::string& address);
// Locally administered, the same on whichever node the address is: 02:00 and the four bytes of the address.
Result<std::string> mac_of(const std::string& address);

// What stands in config.json.
nlohmann::json container_config(const ContainerSpec& spec);

}  // namespace godwit::lab
