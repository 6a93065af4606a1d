#include "fault_proxy.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::kube {
namespace {

sockaddr_in loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

UniqueFd listen_on_loopback(uint16_t& port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = loopback(0);
  GODWIT_CHECK(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  GODWIT_CHECK(::listen(listener.get(), 64) == 0);
  socklen_t size = sizeof address;
  GODWIT_CHECK(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  port = ntohs(address.sin_port);
  return listener;
}

UniqueFd connect_to_loopback(uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

FaultProxy::FaultProxy(uint16_t target_port) : target_port_(target_port), listener_(listen_on_loopback(port_)) {
  thread_ = std::thread([this] { serve(); });
}

FaultProxy::~FaultProxy() {
  stop_ = true;
  thread_.join();
}

void FaultProxy::serve() {
  constexpr size_t slow_bytes = 1024;
  constexpr int tick_ms = 20;
  while (!stop_) {
    const Fault fault = fault_;
    if (fault == Fault::cut) {
      for (Pair& pair : pairs_) reset(pair);
    }
    std::erase_if(pairs_, [](const Pair& pair) { return !pair.client.valid(); });
    std::vector<pollfd> waited{{listener_.get(), POLLIN, 0}};
    if (fault == Fault::none || fault == Fault::slow) {
      for (const Pair& pair : pairs_) {
        waited.push_back({pair.client.get(), POLLIN, 0});
        waited.push_back({pair.server.get(), POLLIN, 0});
      }
    }
    if (::poll(waited.data(), waited.size(), tick_ms) < 0) continue;
    if (fault == Fault::slow) std::this_thread::sleep_for(milliseconds(tick_ms));
    const size_t most = fault == Fault::slow ? slow_bytes : 65536;
    for (size_t i = 1; i + 1 < waited.size(); i += 2) {
      Pair& pair = pairs_[(i - 1) / 2];
      const bool good = (waited[i].revents == 0 || forward(pair.client.get(), pair.server.get(), most)) &&
                        (waited[i + 1].revents == 0 || forward(pair.server.get(), pair.client.get(), most));
      if (!good) pair = Pair{};
    }
    if (waited[0].revents != 0) accept_one();
  }
}

void FaultProxy::accept_one() {
  Pair pair{UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)), {}};
  ++connections_;
  if (fault_ == Fault::cut) return reset(pair);
  pair.server = connect_to_loopback(target_port_);
  if (pair.server) pairs_.push_back(std::move(pair));
}

bool FaultProxy::forward(int from, int to, size_t most) {
  std::array<char, 65536> chunk;
  const ssize_t got = ::recv(from, chunk.data(), most, 0);
  if (got <= 0) return false;
  return ::send(to, chunk.data(), static_cast<size_t>(got), MSG_NOSIGNAL) == got;
}

void FaultProxy::reset(Pair& pair) {
  const linger at_once{1, 0};
  ::setsockopt(pair.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  pair = Pair{};
}

}  // namespace godwit::kube
