// Of several replicas of the controller one leads, and each leader's fencing token is higher than that of the one
// before (kube/leader_election.h). An order of a leader that has been succeeded comes late, and is refused.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace godwit::agent {

// The first line of an order that comes from another machine, without its newline.
std::string fence_line(int64_t sequence);
// Error: it is no such line.
Result<int64_t> parse_fence(const std::string& line);

// Takes note of the leader with that token. Error: a later one has given orders to this node.
Result<> check_fence(int64_t sequence);

}  // namespace godwit::agent
