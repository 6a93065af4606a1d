#include "os/fd_passing.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace godwit::os {
namespace {

Result<sockaddr_un> unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("socket path {} is too long", path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

Result<UniqueFd> listen_seqpacket(const std::string& path) {
  GODWIT_ASSIGN(const sockaddr_un address, unix_address(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("unix socket");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove old socket {}", path);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind {}", path);
  if (::chmod(path.c_str(), 0600) != 0) return fail_errno("chmod {}", path);
  if (::listen(fd.get(), 64) != 0) return fail_errno("listen on {}", path);
  return fd;
}

Result<UniqueFd> connect_seqpacket(const std::string& path) {
  GODWIT_ASSIGN(const sockaddr_un address, unix_address(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("unix socket");
  // Of connect(2) too: a listener that takes nobody must not keep us.
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return fail_errno("unix socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("connect to {}", path);
  }
  return fd;
}

Result<UniqueFd> connect_stream(const std::string& path) {
  GODWIT_ASSIGN(const sockaddr_un address, unix_address(path));
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("unix socket");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno("connect to {}", path);
  }
  return fd;
}

Result<SocketPair> seqpacket_pair() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return fail_errno("socket pair");
  return SocketPair{.ours = UniqueFd(ends[0]), .theirs = UniqueFd(ends[1])};
}

Result<> send_message(int socket, std::string_view text, int fd) {
  if (text.empty() || text.size() > passed_text_bytes_max)
    return fail("message of {} bytes cannot be sent", text.size());
  iovec part{const_cast<char*>(text.data()), text.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) return fail_errno("send to a local socket");
  return {};
}

Result<> wait_readable(int fd, Deadline deadline) {
  for (;;) {
    pollfd ready{fd, POLLIN, 0};
    const int count = ::poll(&ready, 1, deadline.poll_timeout_ms());
    if (count > 0) return {};
    if (count < 0 && errno != EINTR) return fail_errno("poll");
    if (count == 0) {
      errno = ETIMEDOUT;
      return fail_errno("wait for data");
    }
  }
}

Result<PassedMessage> receive_message(int socket, Deadline deadline) {
  GODWIT_TRY(wait_readable(socket, deadline));
  PassedMessage received;
  received.text.resize(passed_text_bytes_max);
  iovec part{received.text.data(), received.text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return fail_errno("receive from a local socket");
  received.text.resize(static_cast<size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
      received.fd.reset(fd);
    }
  }
  if (got == 0) {
    errno = EPIPE;
    return fail_errno("the other end of a local socket");
  }
  return received;
}

}  // namespace godwit::os
