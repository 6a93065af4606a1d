#include "agent/pending_peers.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>

#include "base/log.h"

namespace godwit::agent {
namespace {

// Bytes that are the same for all connections of whom we count as one. Empty: not an IP connection.
std::string counted_address(int connection) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(connection, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return "";
  if (peer.ss_family == AF_INET) {
    const auto& address = reinterpret_cast<const sockaddr_in&>(peer).sin_addr;
    return {reinterpret_cast<const char*>(&address), sizeof address};
  }
  if (peer.ss_family != AF_INET6) return "";
  const auto& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&address)) return {reinterpret_cast<const char*>(&address.s6_addr[12]), 4};
  return {reinterpret_cast<const char*>(&address), 8};
}

}  // namespace

PendingPeers::Place& PendingPeers::Place::operator=(Place&& other) noexcept {
  if (this == &other) return *this;
  leave();
  peers_ = std::exchange(other.peers_, nullptr);
  number_ = other.number_;
  return *this;
}

void PendingPeers::Place::leave() {
  if (peers_ == nullptr) return;
  const std::lock_guard lock(peers_->mutex_);
  peers_->peers_.erase(number_);
  peers_ = nullptr;
}

Result<PendingPeers::Place> PendingPeers::enter(int connection) {
  UniqueFd own(::fcntl(connection, F_DUPFD_CLOEXEC, 0));
  if (!own) return fail_errno("keep a connection");
  std::string address = counted_address(connection);
  const std::lock_guard lock(mutex_);
  make_room(address);
  const uint64_t number = ++entered_;
  peers_.emplace(number, Peer{.address = std::move(address), .connection = std::move(own)});
  return Place(this, number);
}

size_t PendingPeers::size() const {
  const std::lock_guard lock(mutex_);
  return peers_.size();
}

void PendingPeers::make_room(const std::string& address) {
  std::map<std::string, size_t> counts;
  for (const auto& [number, peer] : peers_) ++counts[peer.address];
  const auto mine = counts.find(address);
  if (mine != counts.end() && mine->second >= limits_.per_address) return end_oldest_of(address);
  if (peers_.size() < limits_.total) return;
  size_t most = 0;
  for (const auto& [counted, count] : counts) most = std::max(most, count);
  // Of several that have as many, the one whose connection is the oldest.
  const auto oldest =
      std::ranges::find_if(peers_, [&](const auto& peer) { return counts[peer.second.address] == most; });
  end_oldest_of(oldest->second.address);
}

void PendingPeers::end_oldest_of(const std::string& address) {
  const auto oldest = std::ranges::find_if(peers_, [&](const auto& peer) { return peer.second.address == address; });
  log_debug("a connection that has not shown a certificate makes room for another one");
  ::shutdown(oldest->second.connection.get(), SHUT_RDWR);
  peers_.erase(oldest);
}

}  // namespace godwit::agent
