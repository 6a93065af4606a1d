// Ending connections that a pod cannot keep, so that both ends hear of it at once: the peer by a reset, the program by
// an error of its socket. It needs nothing of the program, which may be frozen. (sock_diag(7), SOCK_DESTROY)
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace godwit::network {

struct ConnectionsToEnd {
  bool listeners = false;  // also those who wait for connections: who tries to connect is refused
  bool udp = false;        // also UDP sockets that have a peer
};

// All TCP connections of a network namespace but those within it (over its loopback interface). How many there were.
Result<uint64_t> end_connections(const std::string& netns_path, const ConnectionsToEnd& what);
// Whether the kernel can do that (CONFIG_INET_DIAG_DESTROY).
Result<> check_connections_can_be_ended(const std::string& netns_path);

}  // namespace godwit::network
