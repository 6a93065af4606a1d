#include "network/connections.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <vector>

#include "network/namespace_socket.h"

namespace godwit::network {
namespace {

constexpr size_t message_bytes_max = 65536;

struct Found {
  uint8_t family = 0;
  inet_diag_sockid id{};
};

constexpr uint32_t state_bit(int state) {
  return 1U << state;
}

constexpr uint32_t tcp_connection_states =
    state_bit(TCP_ESTABLISHED) | state_bit(TCP_SYN_SENT) | state_bit(TCP_SYN_RECV) | state_bit(TCP_FIN_WAIT1) |
    state_bit(TCP_FIN_WAIT2) | state_bit(TCP_CLOSE_WAIT) | state_bit(TCP_LAST_ACK) | state_bit(TCP_CLOSING);

bool is_loopback(uint8_t family, const __be32* address) {
  if (family == AF_INET) return (ntohl(address[0]) >> 24) == 127;
  in6_addr six{};
  std::memcpy(&six, address, sizeof six);
  if (IN6_IS_ADDR_V4MAPPED(&six)) return six.s6_addr[12] == 127;
  return IN6_IS_ADDR_LOOPBACK(&six) != 0;
}

class Diagnosis {
 public:
  static Result<Diagnosis> open(const std::string& netns_path) {
    GODWIT_ASSIGN(UniqueFd fd, socket_in(netns_path, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG));
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return fail_errno("sock_diag");
    return Diagnosis(std::move(fd));
  }

  // Error of code ENOENT: the kernel cannot tell about this protocol.
  Result<std::vector<Found>> list(uint8_t family, uint8_t protocol, uint32_t states) {
    GODWIT_TRY(send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, protocol, states, {}));
    std::vector<Found> all;
    std::vector<char> buffer(message_bytes_max);
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno("list sockets");
      int left = static_cast<int>(got);
      for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
           message = mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_seq != sequence_) continue;
        if (message->nlmsg_type == NLMSG_DONE) return all;
        if (message->nlmsg_type == NLMSG_ERROR) {
          GODWIT_TRY(answer_of(message));
          return all;
        }
        const auto* socket = static_cast<const inet_diag_msg*>(mnl_nlmsg_get_payload(message));
        all.push_back({.family = socket->idiag_family, .id = socket->id});
      }
    }
  }

  Result<> destroy(const Found& socket, uint8_t protocol) {
    GODWIT_TRY(send(SOCK_DESTROY, NLM_F_ACK, socket.family, protocol, ~0U, socket.id));
    std::array<char, 1024> buffer{};
    for (;;) {
      const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < static_cast<ssize_t>(sizeof(nlmsghdr) + sizeof(nlmsgerr))) return fail_errno("end a connection");
      const auto* message = reinterpret_cast<const nlmsghdr*>(buffer.data());
      if (message->nlmsg_seq == sequence_) return answer_of(message);
    }
  }

 private:
  explicit Diagnosis(UniqueFd fd) : fd_(std::move(fd)) {}

  static Result<> answer_of(const nlmsghdr* message) {
    errno = -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
    if (errno == 0) return {};
    return fail_errno("sock_diag");
  }

  Result<> send(int type, int flags, uint8_t family, uint8_t protocol, uint32_t states, const inet_diag_sockid& id) {
    std::array<char, 512> buffer{};
    nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
    header->nlmsg_type = static_cast<uint16_t>(type);
    header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header->nlmsg_seq = ++sequence_;
    auto* request = static_cast<inet_diag_req_v2*>(mnl_nlmsg_put_extra_header(header, sizeof(inet_diag_req_v2)));
    request->sdiag_family = family;
    request->sdiag_protocol = protocol;
    request->idiag_states = states;
    request->id = id;
    if (::send(fd_.get(), header, header->nlmsg_len, 0) < 0) return fail_errno("sock_diag");
    return {};
  }

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

Result<uint64_t> end_all(Diagnosis& diagnosis, uint8_t protocol, uint32_t states) {
  uint64_t ended = 0;
  for (const uint8_t family : {AF_INET, AF_INET6}) {
    auto found = diagnosis.list(family, protocol, states);
    if (!found && found.error().code == ENOENT) continue;
    if (!found) return std::unexpected(std::move(found.error()));
    for (const Found& socket : *found) {
      const bool within =
          is_loopback(socket.family, socket.id.idiag_src) && is_loopback(socket.family, socket.id.idiag_dst);
      if (within) continue;
      auto done = diagnosis.destroy(socket, protocol);
      // It has ended by itself.
      if (!done && done.error().code == ENOENT) continue;
      if (!done) return std::unexpected(std::move(done.error()));
      ++ended;
    }
  }
  return ended;
}

}  // namespace

Result<uint64_t> end_connections(const std::string& netns_path, const ConnectionsToEnd& what) {
  GODWIT_ASSIGN(Diagnosis diagnosis, Diagnosis::open(netns_path));
  uint32_t states = tcp_connection_states;
  if (what.listeners) states |= state_bit(TCP_LISTEN);
  GODWIT_ASSIGN(uint64_t ended, end_all(diagnosis, IPPROTO_TCP, states));
  if (what.udp) {
    GODWIT_ASSIGN(const uint64_t more, end_all(diagnosis, IPPROTO_UDP, state_bit(TCP_ESTABLISHED)));
    ended += more;
  }
  return ended;
}

Result<> check_connections_can_be_ended(const std::string& netns_path) {
  GODWIT_ASSIGN(const UniqueFd listener, socket_in(netns_path, AF_INET, SOCK_STREAM, 0));
  sockaddr_in where{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof where;
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&where), size) != 0 || ::listen(listener.get(), 1) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&where), &size) != 0) {
    return fail_errno("a socket to try with");
  }
  GODWIT_ASSIGN(Diagnosis diagnosis, Diagnosis::open(netns_path));
  GODWIT_ASSIGN(const std::vector<Found> listeners, diagnosis.list(AF_INET, IPPROTO_TCP, state_bit(TCP_LISTEN)));
  for (const Found& socket : listeners) {
    if (socket.id.idiag_sport != where.sin_port) continue;
    auto done = diagnosis.destroy(socket, IPPROTO_TCP);
    if (done) return {};
    return std::unexpected(
        std::move(done.error()).context("this kernel cannot end connections (it needs CONFIG_INET_DIAG_DESTROY)"));
  }
  return fail("the kernel does not list its sockets");
}

}  // namespace godwit::network
