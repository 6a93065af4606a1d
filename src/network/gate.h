// A gate in front of one container's interface: closes each direction at once, inside the pause, and opens it again.
#pragma once

#include <string>

#include "base/result.h"
#include "network/route_socket.h"

namespace godwit::network {

// The gate of one veth pair. Outgoing packets are dropped at the container's end, incoming ones at the host's end, both
// by a queueing discipline, so routes, addresses and neighbours of the container stay as they are. The state is the
// kernel's: it survives the worker that set it. One thread at a time.
class Gate {
 public:
  // `host_netns_path` is where the other end lives (empty: our own namespace). Error if the interface is not a veth
  // whose other end is there.
  static Result<Gate> open(const std::string& container_netns_path, const std::string& interface,
                           const std::string& host_netns_path = "");

  Result<> close_outgoing() { return inside_.block(inside_index_); }
  Result<> close_incoming() { return outside_.block(outside_index_); }
  Result<> open_outgoing() { return inside_.unblock(inside_index_); }
  Result<> open_incoming() { return outside_.unblock(outside_index_); }

  [[nodiscard]] const std::string& host_interface() const { return host_interface_; }

 private:
  Gate(RouteSocket inside, int inside_index, RouteSocket outside, int outside_index, std::string host_interface)
      : inside_(std::move(inside)),
        inside_index_(inside_index),
        outside_(std::move(outside)),
        outside_index_(outside_index),
        host_interface_(std::move(host_interface)) {}

  RouteSocket inside_;
  int inside_index_;
  RouteSocket outside_;
  int outside_index_;
  std::string host_interface_;
};

// The same for what a namespace's own programs send each other, by whatever of its addresses. One thread at a time.
class LoopbackGate {
 public:
  static Result<LoopbackGate> open(const std::string& netns_path);
  Result<> close() { return socket_.block(index_); }
  Result<> open_again() { return socket_.unblock(index_); }

 private:
  LoopbackGate(RouteSocket socket, int index) : socket_(std::move(socket)), index_(index) {}
  RouteSocket socket_;
  int index_;
};

}  // namespace godwit::network
