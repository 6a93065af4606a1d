// What every netlink request has in common, whatever it asks for: it is sent, and acknowledged or answered by a list.
#pragma once

#include <libmnl/libmnl.h>
#include <sys/socket.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/result.h"

namespace godwit::network {

// Sends a request that has NLM_F_ACK and waits for the kernel's word. Error: `doing` with what the kernel says, its
// errno the code.
inline Result<> acknowledged(int socket, const nlmsghdr* request, const std::string& doing) {
  if (::send(socket, request, request->nlmsg_len, 0) < 0) return fail_errno("{}", doing);
  std::array<char, 4096> answer{};
  if (::recv(socket, answer.data(), answer.size(), 0) < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr))) {
    return fail_errno("{}", doing);
  }
  const auto* reply = reinterpret_cast<const nlmsghdr*>(answer.data());
  errno = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply))->error;
  if (errno != 0) return fail_errno("{}", doing);
  return {};
}

// Sends a request that has NLM_F_DUMP and calls visit(const nlmsghdr*) for each message of the answer. `what`: it asks
// for, in words.
template <typename Visit>
Result<> for_each_listed(int socket, const nlmsghdr* request, const std::string& what, Visit&& visit) {
  constexpr size_t message_bytes_max = 65536;
  if (::send(socket, request, request->nlmsg_len, 0) < 0) return fail_errno("ask for {}", what);
  std::vector<char> buffer(message_bytes_max);
  for (;;) {
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read {}", what);
    int left = static_cast<int>(got);
    for (const auto* reply = reinterpret_cast<const nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(reply, left);
         reply = mnl_nlmsg_next(reply, &left)) {
      if (reply->nlmsg_type == NLMSG_DONE) return {};
      if (reply->nlmsg_type == NLMSG_ERROR) return fail("the kernel does not list {}", what);
      visit(reply);
    }
  }
}

}  // namespace godwit::network
