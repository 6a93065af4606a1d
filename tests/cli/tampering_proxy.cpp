#include "tampering_proxy.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "os/file.h"

namespace godwit::cli {
namespace {

sockaddr_in local(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

TamperingProxy::TamperingProxy(std::string netns_path, uint16_t port, uint16_t redis_port)
    : netns_path_(std::move(netns_path)), port_(port), redis_port_(redis_port), thread_([this] { run(); }) {}

TamperingProxy::~TamperingProxy() {
  stop_ = true;
  thread_.join();
}

Result<> TamperingProxy::wait_until_ready(Deadline deadline) const {
  while (!ready_) {
    if (deadline.expired()) return fail("the proxy did not start");
    std::this_thread::sleep_for(milliseconds(5));
  }
  return {};
}

void TamperingProxy::run() {
  const Result<> served = serve();
  EXPECT_TRUE(served.has_value()) << served.error().message;
}

Result<> TamperingProxy::serve() {
  GODWIT_ASSIGN(const UniqueFd netns, os::open_file(netns_path_, O_RDONLY));
  if (::setns(netns.get(), CLONE_NEWNET) != 0) return fail_errno("setns");
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = local(port_);
  const int one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), 64) != 0) {
    return fail_errno("listen");
  }
  ready_ = true;
  while (!stop_) {
    std::vector<pollfd> waited{{listener.get(), POLLIN, 0}};
    for (const Connection& connection : connections_) {
      waited.push_back({connection.client.get(), POLLIN, 0});  // poll(2) passes over the closed ones' -1
      waited.push_back({connection.redis.get(), POLLIN, 0});
    }
    if (::poll(waited.data(), waited.size(), 20) < 0) return fail_errno("poll");
    for (size_t i = 1; i + 1 < waited.size(); i += 2) {
      Connection& connection = connections_[(i - 1) / 2];
      if (waited[i].revents != 0) forward(connection.client.get(), connection.redis.get());
      if (waited[i + 1].revents != 0) deliver(connection);
    }
    if (waited[0].revents != 0) accept_one(listener.get());
  }
  return {};
}

void TamperingProxy::accept_one(int listener) {
  Connection connection{UniqueFd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)),
                        UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
  const sockaddr_in address = local(redis_port_);
  if (::connect(connection.redis.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
  connections_.push_back(std::move(connection));
}

void TamperingProxy::forward(int from, int to) const {
  std::array<char, 65536> chunk;
  const ssize_t got = ::recv(from, chunk.data(), chunk.size(), 0);
  if (got > 0) ::send(to, chunk.data(), static_cast<size_t>(got), MSG_NOSIGNAL);
}

// Each client has one request under way, so what redis sends in one piece is one reply.
void TamperingProxy::deliver(Connection& connection) {
  std::string reply(65536, '\0');
  const ssize_t got = ::recv(connection.redis.get(), reply.data(), reply.size(), 0);
  reply.resize(static_cast<size_t>(std::max<ssize_t>(0, got)));
  if (reply.empty()) {
    connection.redis.reset();
    return connection.client.reset();
  }
  if (!change(reply, connection)) return;
  ::send(connection.client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
}

bool TamperingProxy::change(std::string& reply, Connection& connection) {
  const Tamper what = next_;
  switch (what) {
    case Tamper::none:
      return true;
    case Tamper::skip_count:
      if (reply[0] != ':') return true;
      reply = fmt::format(":{}\r\n", std::stoll(reply.substr(1)) + 1);
      break;
    case Tamper::garble:
      if (reply.size() < 100) return true;
      reply[reply.size() / 2] ^= 1;
      break;
    case Tamper::swallow:
      next_ = Tamper::none;
      return false;
    case Tamper::repeat:
      reply += reply;
      break;
    case Tamper::hold:
      std::this_thread::sleep_for(milliseconds(hold_ms));
      break;
    case Tamper::reset: {
      const linger at_once{1, 0};
      ::setsockopt(connection.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
      [[fallthrough]];
    }
    case Tamper::close:
      connection.client.reset();
      connection.redis.reset();
      next_ = Tamper::none;
      return false;
  }
  next_ = Tamper::none;
  return true;
}

}  // namespace godwit::cli
