// One container name, one session on a node, whether the container leaves or arrives: two sessions would freeze, thaw
// or remove it, or what has its name, behind each other's backs.
#pragma once

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::agent {

// Held as long as the descriptor is open, so that a worker's death gives it back. Errors: not a container's name; code
// EWOULDBLOCK, another session has had it until the deadline.
Result<UniqueFd> lock_container(const std::string& name, Deadline deadline);

}  // namespace godwit::agent
