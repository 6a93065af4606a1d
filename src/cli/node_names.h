// Which address a node's name stands for, where no cluster says it: /etc/godwit/nodes.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::cli {

constexpr const char* nodes_file = "/etc/godwit/nodes";

struct NodeAddress {
  std::string name;     // as the operator calls it; the address if it was given directly
  std::string address;  // "10.0.0.2:9876" or "[fd00::2]:9876"
};

// An IP address with or without a port (IPv6 with a port in brackets).
Result<std::string> parse_address(std::string_view text);

// `node` is a name of `file` (lines "name address[:port]", # begins a comment) or an IP address with or without a port.
// Without a port: agent_port. A malformed line is an error even if it is not the one that is looked for.
Result<NodeAddress> resolve_node(const std::string& node, const std::string& file = nodes_file);

}  // namespace godwit::cli
