#pragma once

#include "agent/config.h"
#include "agent/requests.h"
#include "base/result.h"

namespace godwit::agent {

// Answers the requests that need no worker (ps, sessions, inspect, cancel, addresses) on `connection`, up to and with
// the result. An error is one that the caller has to report; nothing of a result was sent then.
Result<> answer_query(const AgentConfig& config, const Request& request, int connection);

}  // namespace godwit::agent
