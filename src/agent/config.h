#pragma once

#include <cstdint>
#include <string>

#include "agent/requests.h"

namespace godwit::agent {

// What an agent is started with; the same for its workers.
struct AgentConfig {
  std::string node_name;                   // as in the node's certificate
  std::string listen_address = "0.0.0.0";  // for other agents
  uint16_t port = agent_port;
  std::string ca_path = "/etc/godwit/ca.pem";
  std::string certificate_path = "/etc/godwit/node.pem";
  std::string key_path = "/etc/godwit/node.key";
  std::string containers_path = "/var/lib/godwit/containers";  // bundles of containers that arrive
  std::string runc_root = "/run/runc";
  uint64_t sessions_max = 16;  // at once; more are refused
};

}  // namespace godwit::agent
