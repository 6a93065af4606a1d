// What a container's network looks like from inside, read on the source and made again on the destination.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace godwit::network {

// The one interface besides loopback that a container has.
struct InterfaceConfig {
  std::string name;  // "eth0"
  std::string mac;   // "02:00:0a:58:01:05"
  int mtu = 1500;
  std::vector<std::string> addresses;  // "10.88.1.5/16", global scope
  // Words for `ip route add`, e.g. "default via 10.88.0.1"; those that others need to be valid come first.
  std::vector<std::string> routes;
  bool prefix_routes = true;  // an address brings the route to its prefix, as the kernel does unless it is told not to
  std::string bridge;         // the bridge that the host's end is a port of; empty if none

  bool operator==(const InterfaceConfig&) const = default;
};

// Reads the interface in the network namespace `netns_path`. Error if there is none or more than one besides loopback.
Result<InterfaceConfig> read_interface(const std::string& netns_path);

nlohmann::json to_json(const InterfaceConfig& config);
// From a peer, so everything is checked: names, addresses, lengths and counts.
Result<InterfaceConfig> interface_from_json(const nlohmann::json& json);

}  // namespace godwit::network
