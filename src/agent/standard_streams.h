// The standard streams of a container's first process, which runc connects anew when the container is restored.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::agent {

// What runc has to be told of descriptors 0, 1 and 2: the targets of their links in /proc. A pipe between the
// container's own processes (a server whose output goes to its logger) is told as `own_pipe` instead: runc takes every
// pipe for one to whoever started the container, and would put its own in the place.
Result<std::vector<std::string>> standard_streams(pid_t init_pid, const std::string& cgroup_directory);

constexpr const char* own_pipe = "own pipe";

}  // namespace godwit::agent
