// How the supervisor starts a worker: the same executable with other arguments. Kept beside its parser
// (apps/godwit_agent.cpp) by these names.
#pragma once

#include <string>
#include <vector>

#include "agent/config.h"

namespace godwit::agent {

// The descriptor on which a worker finds the connection that it was started for: the command line's (source), the
// peer's (destination, answer); none for `recover`.
constexpr int worker_connection_fd = 3;
// Where a destination's worker says that it has seen the source's certificate, and hears whether there is room for one
// more session: `admission_granted`, or why not.
constexpr int worker_admission_fd = 4;
constexpr const char* admission_granted = "go on";

// What a source's worker is told on its socket before the request that it is to follow (requests.h, reconfigure).
constexpr const char* reconfigure_word = "reconfigure ";

// What a source's worker answers to "abandon keep" or "abandon end" on its socket; anything else is why not.
constexpr const char* abandon_agreed = "agreed";

// `mode`: source, destination, recover, answer.
inline std::vector<std::string> worker_arguments(const AgentConfig& config, const std::string& program,
                                                 const std::string& mode, const std::string& session) {
  return {program,
          "--node",
          config.node_name,
          "--listen",
          config.listen_address,
          "--port",
          std::to_string(config.port),
          "--ca",
          config.ca_path,
          "--certificate",
          config.certificate_path,
          "--key",
          config.key_path,
          "--containers",
          config.containers_path,
          "--runc-root",
          config.runc_root,
          "worker",
          mode,
          session};
}

}  // namespace godwit::agent
