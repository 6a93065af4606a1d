// Required affinity and anti-affinity between pods: a pod that is bound to its node passes the scheduler by. Pure.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace godwit::controller {

// Between one pod that moves and all others.
class PodAffinity {
 public:
  explicit PodAffinity(nlohmann::json pod);

  // A pod of the cluster; the one that moves itself, and those that are on no node or have ended, do not count.
  void add(const nlohmann::json& other);
  // What is in the way of `node`, in words; empty: nothing. `nodes`: all of the cluster.
  [[nodiscard]] std::vector<std::string> misfits(const nlohmann::json& node,
                                                 const std::vector<nlohmann::json>& nodes) const;

 private:
  // A term of the pod's own, and where the pods are that it is about.
  struct Term {
    nlohmann::json term;
    std::set<std::string> nodes;
  };
  nlohmann::json pod_;
  std::vector<Term> together_;
  std::vector<Term> apart_;
  // Others want to be apart from it: where they are, by their topology key.
  std::map<std::string, std::set<std::string>> avoided_by_;
};

}  // namespace godwit::controller
