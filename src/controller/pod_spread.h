// Topology spread constraints that forbid: a pod that is bound to its node passes the scheduler by. Pure. Source: the
// documentation of "Pod Topology Spread Constraints".
#pragma once

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace godwit::controller {

// Of one pod that moves. A domain is all nodes of one value of a constraint's topology key.
class PodSpread {
 public:
  // `nodes`: all of the cluster.
  PodSpread(nlohmann::json pod, const std::vector<nlohmann::json>& nodes);

  // A pod of the cluster; the one that moves itself does not count, because it leaves its domain.
  void add(const nlohmann::json& other);
  // What is in the way of `node`, in words; empty: nothing.
  [[nodiscard]] std::vector<std::string> misfits(const nlohmann::json& node) const;

 private:
  struct Constraint {
    nlohmann::json wanted;
    nlohmann::json selector;
    std::map<std::string, std::string> domains;  // of the nodes that count, by their names
    std::map<std::string, int64_t> pods;         // of each of these domains
  };
  nlohmann::json pod_;
  std::vector<Constraint> constraints_;
};

}  // namespace godwit::controller
