// Where a node sends what is for the addresses of one pod, in a network where pods are reached by routes.
//
// Each node has a range of addresses, and every machine around sends what is for a range to its node. An address that
// has moved out of its range is therefore always sent home, or to where a machine was told last that it lives; from
// there a route to this one address leads on. So in the pause two routes change and no more: the destination's, to the
// pod's cable, then the source's, to the destination. The other nodes are told by and by (moved_routes.h).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/interface_config.h"
#include "network/route_socket.h"

namespace godwit::network {

// Whether the pod's end of the cable is reached by routes, and not as a port of a bridge. `host_interface`: the node's.
bool reached_by_routes(const std::string& host_interface);

// Of `addresses` (prefix lengths do not matter), those of the machine `nodes` that are of the same family each. Error:
// one has none, or it cannot be reached without another router between, which would send the packets home
// (EHOSTUNREACH); or that could not be found out.
Result<std::vector<HostRoute>> routes_to(const std::vector<std::string>& addresses,
                                         const std::vector<std::string>& nodes);

// One thread at a time. Each change takes well under a millisecond.
class AddressRoutes {
 public:
  static Result<AddressRoutes> open(const InterfaceConfig& pod, const std::string& host_interface);

  // To the pod's cable; whom to ask for its link-layer address is known, too: its own answer could be stopped.
  Result<> lead_to_pod();
  Result<> lead_to(const std::vector<HostRoute>& routes);
  // As they were when this was made.
  Result<> lead_back();
  // Of the node's end of the cable: to the pod every other machine has this one.
  [[nodiscard]] const std::array<uint8_t, 6>& mac() const { return link_.mac; }

 private:
  AddressRoutes(RouteSocket socket, InterfaceConfig pod, std::string host_interface, LinkInfo link,
                std::vector<HostRoute> before)
      : socket_(std::move(socket)),
        pod_(std::move(pod)),
        host_interface_(std::move(host_interface)),
        link_(std::move(link)),
        before_(std::move(before)) {}

  RouteSocket socket_;
  InterfaceConfig pod_;
  std::string host_interface_;
  LinkInfo link_;
  std::vector<HostRoute> before_;
};

// On the node's end of the cable: has it answer for the gateways that the pod knows from home, which are no addresses
// of this node. At once, not after a random while.
Result<> answer_for_gateways(const std::string& host_interface, const InterfaceConfig& pod);

}  // namespace godwit::network
