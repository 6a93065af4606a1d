// Which node a pod goes to.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "controller/node_room.h"
#include "controller/node_roster.h"
#include "controller/planned_moves.h"
#include "controller/pod_affinity.h"
#include "controller/pod_spread.h"
#include "kube/client.h"

namespace godwit::controller {

// What is in the way of `node` as the destination of this pod, whose node is like `source`. `asked_for`: somebody named
// it, so it may be cordoned.
std::vector<std::string> destination_obstacles(const nlohmann::json& pod, const nlohmann::json& node,
                                               const NodeTraits& source, bool asked_for);

// What the pods of the cluster mean for one that moves: the room that they take (node_room.h), required affinity and
// anti-affinity (pod_affinity.h), and how it is to be spread among them (pod_spread.h).
class OtherPods {
 public:
  // `nodes`: all of the cluster.
  OtherPods(const nlohmann::json& pod, const std::vector<nlohmann::json>& nodes);
  // Each of the cluster's, in any order.
  void add(const nlohmann::json& other);
  // What is in the way of `node`, in words; empty: nothing.
  [[nodiscard]] std::vector<std::string> obstacles(const nlohmann::json& node) const;
  [[nodiscard]] int64_t count_on(const std::string& node) const { return room_.pods_on(node); }

 private:
  Amounts wanted_;
  NodeRoom room_;
  PodAffinity affinity_;
  PodSpread spread_;
};

// `wanted`: a node's name, or empty: the one with the fewest pods of those that can take it; better placement is the
// scheduler's and the rebalancer's. It is planned there for this Migration (its uid) under the clone's name. Error: no
// node can, and why each of them cannot.
struct DestinationRequest {
  const nlohmann::json& pod;
  std::string wanted;
  std::string migration;
  std::string clone_name;
};
Result<std::string> choose_destination(kube::Client& client, const DestinationRequest& request, PlannedMoves& moves,
                                       const kube::Call& call);

}  // namespace godwit::controller
