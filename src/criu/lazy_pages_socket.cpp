#include "criu/lazy_pages_socket.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "os/fd_passing.h"

namespace godwit::criu {
namespace {

constexpr int32_t finished_word = 0x52535446;

std::unexpected<Error> gone() {
  return std::unexpected(Error{"criu closed its lazy-pages connection before the restore was complete", EPIPE});
}

// Receives `size` bytes; a descriptor that comes along is returned.
Result<UniqueFd> receive(int socket, void* data, size_t size, Deadline deadline) {
  UniqueFd fd;
  for (size_t done = 0; done < size;) {
    GODWIT_TRY(os::wait_readable(socket, deadline));
    iovec part{static_cast<char*>(data) + done, size - done};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("receive from criu");
    if (got == 0) return gone();
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_type == SCM_RIGHTS) {
      int number = -1;
      std::memcpy(&number, CMSG_DATA(header), sizeof number);
      fd.reset(number);
    }
    done += static_cast<size_t>(got);
  }
  return fd;
}

}  // namespace

Result<LazyPagesSocket> LazyPagesSocket::listen(const std::string& work_directory) {
  const std::string path = work_directory + "/lazy-pages.socket";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("socket path {} is too long", path);
  std::copy(path.begin(), path.end(), address.sun_path);
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!listener) return fail_errno("unix socket");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove {}", path);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("bind {}", path);
  if (::listen(listener.get(), 1) != 0) return fail_errno("listen on {}", path);
  return LazyPagesSocket(std::move(listener));
}

Result<> LazyPagesSocket::accept(Deadline deadline) {
  GODWIT_TRY(os::wait_readable(listener_.get(), deadline));
  connection_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection_) return fail_errno("accept criu's lazy-pages connection");
  return {};
}

Result<std::optional<LazyProcess>> LazyPagesSocket::next(Deadline deadline) {
  if (!connection_) GODWIT_TRY(accept(deadline));
  for (;;) {
    int32_t word = 0;
    GODWIT_TRY(receive(connection_.get(), &word, sizeof word, deadline));
    if (word == finished_word) {
      connection_.reset();
      return std::nullopt;
    }
    if (word < 0) continue;  // a zombie's pid: it has no memory, and no descriptor follows
    char byte = 0;
    GODWIT_ASSIGN(UniqueFd fd, receive(connection_.get(), &byte, sizeof byte, deadline));
    if (!fd) return fail("criu sent no userfaultfd for process {}", word);
    return LazyProcess{.container_pid = word, .userfaultfd = std::move(fd)};
  }
}

}  // namespace godwit::criu
