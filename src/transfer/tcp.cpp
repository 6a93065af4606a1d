#include "transfer/tcp.h"

#include <fcntl.h>
#include <linux/tcp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <memory>

namespace godwit::transfer {
namespace {

constexpr int backlog = 128;

using AddressInfo = std::unique_ptr<addrinfo, decltype([](addrinfo* info) { ::freeaddrinfo(info); })>;

Result<AddressInfo> parse_address(const std::string& address, uint16_t port) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) {
    return fail("\"{}\" is not an IPv4 or IPv6 address", address);
  }
  return AddressInfo(found);
}

std::string describe(const sockaddr_storage& address, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), size, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "unknown address";
  }
  return address.ss_family == AF_INET6 ? fmt::format("[{}]:{}", host.data(), port.data())
                                       : fmt::format("{}:{}", host.data(), port.data());
}

}  // namespace

Result<> wait_ready(int fd, short events, Deadline deadline, const char* what) {
  for (;;) {
    pollfd poll_fd{.fd = fd, .events = events, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, deadline.poll_timeout_ms());
    if (ready > 0) return {};
    if (ready == 0) {
      errno = ETIMEDOUT;
      return fail_errno("{}", what);
    }
    if (errno != EINTR) return fail_errno("poll for {}", what);
  }
}

Result<> prepare_socket(int socket) {
  const int flags = ::fcntl(socket, F_GETFL);
  if (flags < 0 || ::fcntl(socket, F_SETFL, flags | O_NONBLOCK) < 0) return fail_errno("make socket non-blocking");
  const int on = 1;
  if (::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) return fail_errno("set TCP_NODELAY");
  return {};
}

std::chrono::microseconds receiver_limited_time(int socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return {};
  return std::chrono::microseconds(info.tcpi_rwnd_limited);
}

Result<UniqueFd> connect_tcp(const std::string& address, uint16_t port, Deadline deadline) {
  GODWIT_ASSIGN(const AddressInfo info, parse_address(address, port));
  UniqueFd socket(::socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("make a TCP socket");
  GODWIT_TRY(prepare_socket(socket.get()));
  const std::string what = fmt::format("connect to {} port {}", address, port);
  if (::connect(socket.get(), info->ai_addr, info->ai_addrlen) == 0) return socket;
  if (errno != EINPROGRESS) return fail_errno("{}", what);
  GODWIT_TRY(wait_ready(socket.get(), POLLOUT, deadline, what.c_str()));
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) return fail_errno("{}", what);
  if (error != 0) {
    errno = error;
    return fail_errno("{}{}", what, error == ECONNREFUSED ? " (is godwit-agent running there?)" : "");
  }
  return socket;
}

Result<Listener> Listener::open(const std::string& address, uint16_t port) {
  GODWIT_ASSIGN(const AddressInfo info, parse_address(address, port));
  UniqueFd socket(::socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno("make a TCP socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(socket.get(), info->ai_addr, info->ai_addrlen) != 0 || ::listen(socket.get(), backlog) != 0) {
    return fail_errno("listen on {} port {}", address, port);
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size) != 0) return fail_errno("getsockname");
  const uint16_t port_be = bound.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(bound).sin6_port
                                                       : reinterpret_cast<const sockaddr_in&>(bound).sin_port;
  return Listener(std::move(socket), ntohs(port_be));
}

Result<Connection> Listener::accept(Deadline deadline) {
  for (;;) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    UniqueFd socket(::accept4(socket_.get(), reinterpret_cast<sockaddr*>(&from), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) {
      GODWIT_TRY(prepare_socket(socket.get()));
      return Connection{.socket = std::move(socket), .peer = describe(from, size)};
    }
    // A connection that was reset before it was taken is no failure of ours.
    if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) return fail_errno("accept a connection");
    GODWIT_TRY(wait_ready(socket_.get(), POLLIN, deadline, "accept a connection"));
  }
}

}  // namespace godwit::transfer
