#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

// A message over a SOCK_SEQPACKET unix socket, with at most one descriptor.
struct PassedMessage {
  std::string text;
  UniqueFd fd;  // empty if none came along
};

constexpr size_t passed_text_bytes_max = 4096;

// Listens at `path` (replacing a dead socket there), mode 0600.
Result<UniqueFd> listen_seqpacket(const std::string& path);
Result<UniqueFd> connect_seqpacket(const std::string& path);
// The same for a SOCK_STREAM socket, without a limit on the connecting.
Result<UniqueFd> connect_stream(const std::string& path);
// Two connected SOCK_SEQPACKET sockets.
struct SocketPair {
  UniqueFd ours;
  UniqueFd theirs;
};
Result<SocketPair> seqpacket_pair();
// `fd` -1: text only.
Result<> send_message(int socket, std::string_view text, int fd = -1);
// Error when the deadline passes; the other end's closing is an error of code EPIPE.
Result<PassedMessage> receive_message(int socket, Deadline deadline);
// Waits until `fd` can be read (or has hung up); error when the deadline passes.
Result<> wait_readable(int fd, Deadline deadline);

}  // namespace godwit::os
