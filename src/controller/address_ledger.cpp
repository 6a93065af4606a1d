#include "controller/address_ledger.h"

#include <algorithm>

namespace godwit::controller {

bool AddressLedger::report(const std::string& node, agent::AddressesEvent told, uint64_t begun) {
  Node& known = nodes_[node];
  const bool other_guests = known.told.guests != told.guests;
  known.told = std::move(told);
  known.begun = begun;
  std::erase_if(known.unclaimed, [&](const auto& entry) {
    return std::ranges::none_of(known.told.kept, [&](const auto& kept) { return kept.sandbox == entry.first; });
  });
  return other_guests;
}

bool AddressLedger::has_guest(const std::string& address, const std::set<std::string>& awaited) const {
  return std::ranges::any_of(awaited, [&](const std::string& name) {
    const auto node = nodes_.find(name);
    return node != nodes_.end() &&
           std::ranges::count(node->second.told.guests, address, &agent::GuestAddressInfo::address) > 0;
  });
}

// While it changes nodes it is still where it leaves.
std::map<std::string, std::string> AddressLedger::homes_of_guests() const {
  std::map<std::string, std::string> homes;
  for (const char* state : {"leaving", "here"}) {
    for (const auto& [name, node] : nodes_) {
      for (const agent::GuestAddressInfo& guest : node.told.guests) {
        if (guest.routed && guest.state == state) homes.insert_or_assign(guest.address, name);
      }
    }
  }
  return homes;
}

AddressLedger::RouteOrders AddressLedger::routes_for(const std::string& node, const NodeAddresses& nodes,
                                                     const std::function<bool(const std::string&)>& has_pod) const {
  RouteOrders orders;
  const auto known = nodes_.find(node);
  if (known == nodes_.end()) return orders;
  const auto& routes = known->second.told.routes;
  const std::map<std::string, std::string> homes = homes_of_guests();
  for (const auto& [address, home] : homes) {
    const auto there = nodes.find(home);
    if (home == node || there == nodes.end()) continue;
    for (const std::string& via : there->second) {
      if (via.contains(':') != address.contains(':')) continue;
      const agent::AddressesRequest::Route wanted{.address = address, .via = via};
      if (std::ranges::count(routes, wanted) == 0) orders.set.push_back(wanted);
    }
  }
  for (const auto& route : routes) {
    if (!homes.contains(route.address) && !has_pod(route.address)) orders.drop.push_back(route.address);
  }
  return orders;
}

bool AddressLedger::all_told_since(uint64_t when, const std::set<std::string>& awaited) const {
  return std::ranges::all_of(awaited, [&](const std::string& name) {
    const auto node = nodes_.find(name);
    return node != nodes_.end() && node->second.begun > when;
  });
}

std::vector<std::string> AddressLedger::due(const std::string& node, const std::set<std::string>& awaited,
                                            const std::function<bool(const std::string&)>& has_pod) {
  std::vector<std::string> all;
  const auto known = nodes_.find(node);
  if (known == nodes_.end()) return all;
  for (const agent::KeptAddressInfo& kept : known->second.told.kept) {
    const bool claimed = std::ranges::any_of(
        kept.addresses, [&](const std::string& address) { return has_pod(address) || has_guest(address, awaited); });
    if (claimed) {
      known->second.unclaimed.erase(kept.sandbox);
      continue;
    }
    const auto [since, is_new] = known->second.unclaimed.try_emplace(kept.sandbox, 0);
    if (is_new) since->second = ++now_;
    if (all_told_since(since->second, awaited)) all.push_back(kept.sandbox);
  }
  return all;
}

}  // namespace godwit::controller
