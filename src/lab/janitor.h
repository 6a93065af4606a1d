// The process that owns a lab: it starts it, waits until it is to end, and leaves nothing of it behind. It is a process
// of its own so that a lab ends with whoever started it, however that ends: the starter holds the other end of the
// control socket, and the end of that socket ends the lab.
#pragma once

#include "base/unique_fd.h"

namespace godwit::lab {

// The control socket's number in the janitor, a SOCK_SEQPACKET pair. Messages, JSON:
//   starter -> janitor: the plan (state.h); later perhaps "detach": from then on only SIGTERM ends the lab
//   janitor -> starter: {"error": ""} once the lab is up, or why it is not
inline constexpr int janitor_socket = 3;

// The whole life of the program `godwit-lab janitor`. Forks at once, so that the caller has nothing to reap later.
int janitor_main();

}  // namespace godwit::lab
