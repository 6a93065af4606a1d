// Parking: packets for a container that is not yet running here are held, not dropped, so that no TCP retransmission
// timer (200 ms and doubling) is added to the pause.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::network {

// Holds every IP packet that arrives on `interface` of a network namespace, by an NFQUEUE rule in its raw table, until
// release(). Owned by one worker; its thread only notes packet numbers. Destroying it without release() drops what is
// parked, which TCP repairs. At most `packets_max` are held, later ones are dropped.
class Parking {
 public:
  static constexpr uint32_t packets_max = 8192;

  // Installs rule and queue: some milliseconds, before the pause. Needs iptables (and ip6tables if the namespace has
  // IPv6) in PATH.
  static Result<Parking> open(const std::string& netns_path, const std::string& interface);
  Parking(Parking&& other) noexcept;
  Parking& operator=(Parking&& other) = delete;
  ~Parking();

  // Lets everything pass, in order of arrival, and from then on each packet at once. The number that was parked.
  Result<uint64_t> release();
  // Removes the rule; to be called after release(), outside the pause. Error: the rule is still there, harmlessly as
  // long as this object lives.
  Result<> remove_rule();
  // Removes what a worker that died has left: without a listener its rule drops every packet.
  static void remove_left_rule(const std::string& netns_path, const std::string& interface);

 private:
  struct Shared;
  explicit Parking(std::unique_ptr<Shared> shared);
  std::unique_ptr<Shared> shared_;
};

}  // namespace godwit::network
