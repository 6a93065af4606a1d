// Connections from other agents that have not shown a certificate yet. Whoever reaches the port can make them, so they
// are counted apart from sessions, and never keep anybody out: one more than there is room for ends the oldest of the
// address that has the most. An honest handshake takes some milliseconds and is long done when it would be its turn.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::agent {

struct PendingPeersLimits {
  size_t total = 64;
  size_t per_address = 32;  // of one IPv4 address, or one IPv6 network of 64 bits
};

// Owned by the supervisor, outlives all its places. Any thread.
class PendingPeers {
 public:
  // One connection's; given back by its end. Move-only.
  class Place {
   public:
    Place(Place&& other) noexcept : peers_(std::exchange(other.peers_, nullptr)), number_(other.number_) {}
    Place& operator=(Place&& other) noexcept;
    ~Place() { leave(); }
    // The connection has shown who it is: it is not ended for others any more.
    void leave();

   private:
    friend class PendingPeers;
    Place(PendingPeers* peers, uint64_t number) : peers_(peers), number_(number) {}
    PendingPeers* peers_;
    uint64_t number_;
  };

  explicit PendingPeers(PendingPeersLimits limits = {}) : limits_(limits) {}

  // Ends (shutdown) another connection if there is no room. `connection` stays the caller's. Error: out of descriptors.
  Result<Place> enter(int connection);
  [[nodiscard]] size_t size() const;

 private:
  struct Peer {
    std::string address;
    UniqueFd connection;  // our own descriptor of it
  };
  void make_room(const std::string& address);
  void end_oldest_of(const std::string& address);

  const PendingPeersLimits limits_;
  mutable std::mutex mutex_;  // guards what follows
  uint64_t entered_ = 0;
  std::map<uint64_t, Peer> peers_;  // by the order in which they came
};

}  // namespace godwit::agent
