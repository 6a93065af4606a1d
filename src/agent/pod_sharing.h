// What containers of one pod share beside its network: System V IPC and the host's name.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::agent {

// Namespaces of a container that are its pod's, as paths. The clone pod has its own, made by its container engine:
// criu runs in them on both sides, so that the containers share them again.
std::vector<std::string> shared_namespaces(pid_t init_pid);
// The clone's are empty: semaphores, message queues and segments of System V cannot go along. Error: there are some.
Result<> check_no_ipc_objects(pid_t init_pid);

}  // namespace godwit::agent
