#pragma once

#include <string>

#include "base/result.h"
#include "transfer/connect_peer.h"

namespace godwit::agent {

// "10.88.0.12:9876" or "[fd00::2]:9876"; without a port, agent_port. Error: what is wrong with it.
Result<transfer::PeerAddress> parse_peer_address(const std::string& text);

// The same the other way: what parse_peer_address() reads, and a URL's authority.
std::string peer_address_text(const transfer::PeerAddress& address);

// What the certificate of the node at `address` must name: what the operator calls the node, or the address itself
// where it has no other name.
std::string expected_node(const transfer::PeerAddress& address, const std::string& operators_name);

}  // namespace godwit::agent
