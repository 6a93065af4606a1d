// What the processes of a lab tell each other while it starts, and who said it.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "os/fd_passing.h"

namespace godwit::lab {

inline constexpr size_t control_bytes_max = 16384;  // of one message

struct Message {
  std::string text;   // empty: the other end is closed
  pid_t sender = -1;  // as this process numbers it; -1: the socket does not tell
};

Result<Message> receive(int socket, Deadline deadline);

// A pair of sockets whose end `ours` tells who sent.
Result<os::SocketPair> pair_with_senders();

}  // namespace godwit::lab
