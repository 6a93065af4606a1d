// Orders from another machine: what the command line asks over the unix socket (requests.h), asked by the controller
// over TLS, after a line with the leader's token (fence.h). A process of its own carries them to that socket, and the
// answers back.
#pragma once

#include <string>

#include "agent/config.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::agent {

// The name that the controller's certificate must have.
constexpr const char* controller_name = "godwit-controller";

// `connection`: TLS not yet begun. `admission`: told when the peer has shown who it is. Returns when either side
// closes.
Result<> carry_command(const AgentConfig& config, const std::string& session_id, UniqueFd connection,
                       UniqueFd admission);

}  // namespace godwit::agent
