// Tells the local network segment that an address lives here now.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::network {

// Sends gratuitous ARP (RFC 5227, section 3) for IPv4 and unsolicited neighbour advertisements (RFC 4861, 7.2.6) for
// IPv6, past the queueing discipline, so that it works while the gate is closed. Made before the pause, used inside it.
class Announcer {
 public:
  // `addresses`: "10.0.0.5/24" or "fd00::5/64"; the prefix length is not needed and may be left out.
  static Result<Announcer> open(const std::string& netns_path, const std::string& interface,
                                const std::vector<std::string>& addresses);
  Result<> send();

 private:
  Announcer(UniqueFd fd, std::vector<std::vector<uint8_t>> frames) : fd_(std::move(fd)), frames_(std::move(frames)) {}
  UniqueFd fd_;
  std::vector<std::vector<uint8_t>> frames_;
};

// The Ethernet frames that announce `address`; exposed for its test. Error if it is not an IP address.
Result<std::vector<std::vector<uint8_t>>> announcement_frames(const std::string& address,
                                                              const std::array<uint8_t, 6>& mac);

}  // namespace godwit::network
