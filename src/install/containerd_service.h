// The containerd that runs on this node: where it is, what it says of itself, how it is started anew. For a process
// that has entered the node (host.h).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "install/containerd_config.h"

namespace godwit::install {

struct Containerd {
  pid_t pid = 0;
  std::string program;      // its file
  std::string config_path;  // as it was told, or its default
};

// Error: none runs, or several.
Result<Containerd> find_containerd();
// Of a command line, as /proc has it.
std::string config_path_of(const std::string& command_line);

Result<Effective> ask_containerd(const Containerd& containerd, Deadline deadline);

// Waits until it answers again. `command`: for the node's shell, with the process as $CONTAINERD_PID, and from then on
// this process is in containerd's control group; empty: systemd's unit that containerd is part of.
// Error, too: there is no systemd and no command.
Result<> restart_containerd(const Containerd& containerd, const std::string& command, const std::string& socket,
                            Deadline deadline);
// The unit of a process, from /proc/PID/cgroup; empty: none.
std::string unit_of(const std::string& cgroup);

}  // namespace godwit::install
