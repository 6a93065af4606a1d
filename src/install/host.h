// The node itself, from inside the pod that Godwit runs in there. The pod shares the node's process ids, so the node's
// first process stands for all that is the node's.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::install {

// Where programs of a node are.
inline constexpr const char* node_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Goes over to the node's mounts, network, host name, IPC and cgroups, for good. Only while there is one thread.
Result<> enter_node();

// Runs `work` in a child process that has entered the node. Only while there is one thread.
Result<> on_node(const std::function<Result<>()>& work);

// Starts a program of the node as a child that has entered it, in control groups that outlive the pod (cgroups.h).
// Our own standard streams; SIGTERM when this thread ends. The caller waits for it. Only while there is one thread.
Result<pid_t> start_on_node(const std::vector<std::string>& argv);

// A directory of the container that the process `pid` lives in, as the node sees it.
std::string seen_from_node(pid_t pid, const std::string& directory);

}  // namespace godwit::install
