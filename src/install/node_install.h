// A node's part of the installation, from nothing to an agent that runs and back: the programs of the DaemonSet.
#pragma once

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::install {

struct NodeOptions {
  std::string node;
  std::string namespace_name;                 // empty: the pod's
  std::string source = "/opt/godwit/bin";     // the programs, in the image
  std::string directory = "/opt/godwit/bin";  // and on the node
  std::string containerd_config;              // empty: what containerd was started with
  std::string containerd_restart;             // shell command; empty: systemd
  std::string cni_configurations;             // empty: as containerd says
  std::string cni_programs;                   // likewise
  std::string runc_root = "/run/containerd/runc/k8s.io";
  std::vector<std::string> agent_arguments;  // further ones
  milliseconds sessions_patience = std::chrono::minutes(5);
};

// Installs, runs the agent, and looks after the certificate and what others write anew, until SIGTERM. The agent's
// migrations outlive it. Error: it could not be installed, or the agent ended.
Result<> run_node(const NodeOptions& options);

// Takes everything away, then waits until SIGTERM.
Result<> withdraw_node(const NodeOptions& options);

// Where a probe sees that either has done its work; in the container.
inline constexpr const char* ready_path = "/run/godwit-ready";

}  // namespace godwit::install
