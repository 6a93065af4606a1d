#include "lab/messages.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace godwit::lab {

Result<Message> receive(int socket, Deadline deadline) {
  pollfd ready{socket, POLLIN, 0};
  int count = 0;
  while ((count = ::poll(&ready, 1, deadline.poll_timeout_ms())) < 0 && errno == EINTR) {
  }
  if (count < 0) return fail_errno("wait for a message");
  if (count == 0) return fail("no answer in time");
  Message message{.text = std::string(control_bytes_max, '\0')};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> ancillary{};
  iovec part{message.text.data(), message.text.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = ancillary.data();
  header.msg_controllen = ancillary.size();
  const ssize_t got = ::recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0) return fail_errno("receive a message");
  message.text.resize(static_cast<size_t>(got));
  const cmsghdr* credentials = CMSG_FIRSTHDR(&header);
  if (credentials != nullptr && credentials->cmsg_type == SCM_CREDENTIALS) {
    ucred from{};
    std::memcpy(&from, CMSG_DATA(credentials), sizeof from);
    message.sender = from.pid;
  }
  return message;
}

Result<os::SocketPair> pair_with_senders() {
  GODWIT_ASSIGN(os::SocketPair pair, os::seqpacket_pair());
  const int yes = 1;
  if (::setsockopt(pair.ours.get(), SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) != 0) return fail_errno("SO_PASSCRED");
  return pair;
}

}  // namespace godwit::lab
