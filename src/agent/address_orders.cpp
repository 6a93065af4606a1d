#include "agent/address_orders.h"

#include "base/log.h"
#include "network/address_book.h"
#include "network/moved_routes.h"

namespace godwit::agent {
namespace {

std::string state_name(network::GuestAddress::State state) {
  switch (state) {
    case network::GuestAddress::State::arriving:
      return "arriving";
    case network::GuestAddress::State::here:
      return "here";
    case network::GuestAddress::State::leaving:
      return "leaving";
  }
  return "";
}

}  // namespace

void obey_address_orders(const AddressesRequest& orders) {
  for (const std::string& sandbox : orders.release) {
    if (auto released = network::release_address(sandbox); !released) {
      log_warning("address of sandbox {}: {}", sandbox, released.error().message);
    }
  }
  network::MovedRouteChanges changes{.set = {}, .drop = orders.drop_routes};
  for (const auto& route : orders.set_routes) changes.set.push_back({.address = route.address, .via = route.via});
  if (auto changed = network::change_moved_routes(changes); !changed) log_warning("{}", changed.error().message);
}

Result<AddressesEvent> describe_addresses() {
  AddressesEvent event;
  GODWIT_ASSIGN(const std::vector<network::KeptAddress> kept, network::kept_addresses());
  for (const network::KeptAddress& one : kept) event.kept.push_back({one.sandbox, one.addresses});
  GODWIT_ASSIGN(const std::vector<network::GuestAddress> guests, network::guest_addresses());
  for (const network::GuestAddress& one : guests) {
    event.guests.push_back({.address = one.address, .routed = one.routed, .state = state_name(one.state)});
  }
  GODWIT_ASSIGN(const std::vector<network::HostRoute> routes, network::moved_routes());
  for (const network::HostRoute& one : routes) event.routes.push_back({.address = one.address, .via = one.via});
  return event;
}

}  // namespace godwit::agent
