// Whether a node has room for a pod: a pod that is bound to its node passes the scheduler by, and the kubelet refuses
// one for which there is no room only when it is there. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace godwit::controller {

// By the resource's name, in thousandths of its unit (kube/quantity.h).
using Amounts = std::map<std::string, int64_t>;

// What the pod takes of its node, as the scheduler counts it: its containers and sidecars together, or the largest of
// its init containers if that is more, and its overhead.
Amounts requests_of(const nlohmann::json& pod);

class NodeRoom {
 public:
  // A pod of the cluster; one that is on no node, or has ended, takes no room.
  void add(const nlohmann::json& pod);
  [[nodiscard]] int64_t pods_on(const std::string& node) const;
  // What is too little on the node for one more pod that requests this, in words; empty: nothing.
  [[nodiscard]] std::vector<std::string> shortages(const Amounts& wanted, const nlohmann::json& node) const;

 private:
  std::map<std::string, Amounts> taken_;  // by the node's name; the number of pods, too
};

}  // namespace godwit::controller
