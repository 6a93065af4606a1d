// Routes to addresses that live in another node's range than their own: what a node is told by the controller, so that
// its packets need no way round by the address's home. They are the kernel's: they survive the agent.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "network/route_socket.h"

namespace godwit::network {

// Those that there are.
Result<std::vector<HostRoute>> moved_routes();

struct MovedRouteChanges {
  std::vector<HostRoute> set;     // without interface
  std::vector<std::string> drop;  // addresses
};

// Addresses that this node's own sandboxes have are left out: their sessions decide where they lead. What cannot be set
// is logged, and told to the controller by its absence in moved_routes().
Result<> change_moved_routes(const MovedRouteChanges& changes);

// To be called when a route has been set or taken back by anyone. Packets for such an address that come in by the very
// interface by which they leave again are only passing through, and their answers take another way. A firewall that
// follows connections would see one half of each, and take it for forged: so they are exempt from it. Takes some
// milliseconds.
Result<> exempt_passing_packets();

}  // namespace godwit::network
