// What agents have told of addresses that left the node that gave them out, and what follows of it: which of these
// nobody has any more, and by which routes they are reached.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "agent/events.h"

namespace godwit::controller {

// Addresses of nodes, one of each family.
using NodeAddresses = std::map<std::string, std::vector<std::string>>;

// An address that a node keeps is given back when no pod in the API has it, and no node has a guest with it: a pod may
// be gone from the API while its containers still run. What nodes have told counts only if they were asked after the
// last pod with that address was found to be gone. One thread at a time.
class AddressLedger {
 public:
  struct RouteOrders {
    std::vector<agent::AddressesRequest::Route> set;
    std::vector<std::string> drop;
  };

  // To be called before a node is asked, its value to be given to report().
  uint64_t begin() { return ++now_; }
  // Whether it has other guests than it had.
  bool report(const std::string& node, agent::AddressesEvent told, uint64_t begun);
  void forget(const std::string& node) { nodes_.erase(node); }

  // Sandboxes of `node` whose addresses it shall keep no longer. `awaited`: nodes that may have guests; one that never
  // reported may have any. `has_pod`: whether a pod in the API has the address.
  std::vector<std::string> due(const std::string& node, const std::set<std::string>& awaited,
                               const std::function<bool(const std::string&)>& has_pod);

  // What is to change in the routes of `node`. A route to an address that a pod has is not taken away for want of
  // knowledge: the node where it lives may be silent.
  [[nodiscard]] RouteOrders routes_for(const std::string& node, const NodeAddresses& nodes,
                                       const std::function<bool(const std::string&)>& has_pod) const;

 private:
  struct Node {
    agent::AddressesEvent told;
    uint64_t begun = 0;
    std::map<std::string, uint64_t> unclaimed;  // sandbox, since when
  };
  // Address -> node, of those that are reached by routes.
  [[nodiscard]] std::map<std::string, std::string> homes_of_guests() const;
  [[nodiscard]] bool has_guest(const std::string& address, const std::set<std::string>& awaited) const;
  [[nodiscard]] bool all_told_since(uint64_t when, const std::set<std::string>& awaited) const;

  uint64_t now_ = 0;
  std::map<std::string, Node> nodes_;
};

}  // namespace godwit::controller
