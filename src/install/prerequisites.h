// What a node must have of its own: programs that Godwit starts and does not bring along.
#pragma once

#include <string>

#include "base/result.h"

namespace godwit::install {

// For a process that has entered the node. Error: all that is missing, and what to do.
Result<> check_programs();
// Whether the agent, as it was put there, can be started at all with the node's libraries.
Result<> check_agent(const std::string& program);
// Of what `criu --version` says. Error: older than what Godwit needs.
Result<> check_criu_version(const std::string& text);

}  // namespace godwit::install
