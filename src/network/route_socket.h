// rtnetlink, for what happens inside the pause, where starting `ip` or `tc` would cost milliseconds.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::network {

struct LinkInfo {
  int index = 0;
  int peer_index = 0;  // of a veth: the other end's index in its own namespace; 0 if none
  std::string name;
  std::string kind;  // "veth", ...; empty for physical ones
  std::array<uint8_t, 6> mac{};
};

// What routes that are there for a moved address are marked with, so that they are known again (rtm_protocol; numbers
// from 64 on are for whoever takes them).
constexpr uint8_t moved_route_protocol = 71;

// The way to one address.
struct HostRoute {
  std::string address;  // without prefix length
  std::string via;      // the next machine, of the same family; empty: what is at the other end of `interface`
  int interface = 0;    // index; 0: the one that leads to `via`
};

// One rtnetlink socket in one network namespace; used by one thread at a time. Every call waits for the kernel's
// answer, which it gives within the system call.
class RouteSocket {
 public:
  static Result<RouteSocket> open(const std::string& netns_path);

  Result<LinkInfo> link(const std::string& name);
  Result<LinkInfo> link(int index);
  // Replaces the root queueing discipline by `blackhole`, which drops all that the interface would send.
  Result<> block(int index);
  // Back to the default discipline; success if it was not blocked.
  Result<> unblock(int index);
  // In place of any other route to that very address. One to a machine gets moved_route_protocol.
  Result<> replace_route(const HostRoute& route);
  // The one of these that there is; success if there is none.
  Result<> remove_route(const HostRoute& route);

 private:
  explicit RouteSocket(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<> request(void* message, LinkInfo* answer);

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace godwit::network
