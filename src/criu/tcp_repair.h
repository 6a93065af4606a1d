// Undoing what a criu that died in the middle of a dump leaves behind in TCP sockets: repair mode, in which a socket
// neither sends nor answers.
#pragma once

#include <string>

#include "base/result.h"

namespace godwit::criu {

// Takes every TCP socket of every process in the cgroup out of repair mode, without sending anything. Returns how many
// were in it. Processes and descriptors that vanish meanwhile are passed over.
Result<int> end_tcp_repair(const std::string& cgroup_directory);

}  // namespace godwit::criu
