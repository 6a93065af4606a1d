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
  // `nodes`: all of the cluster.
  PodAffinity(nlohmann::json pod, const std::vector<nlohmann::json>& nodes);

  // A pod of the cluster; the one that moves itself, and those that are on no node or have ended, do not count.
  void add(const nlohmann::json& other);
  // What is in the way of `node`, in words; empty: nothing.
  [[nodiscard]] std::vector<std::string> misfits(const nlohmann::json& node) const;

 private:
  // A term of the pod's own, and where the pods are that it is about: values of its topology key.
  struct Term {
    nlohmann::json term;
    bool is_about_any = false;
    std::set<std::string> values;
  };
  nlohmann::json pod_;
  std::map<std::string, nlohmann::json> nodes_;  // names and labels, by the names
  std::vector<Term> together_;
  std::vector<Term> apart_;
  // Others want to be apart from it: values of their topology keys.
  std::map<std::string, std::set<std::string>> avoided_by_;
};

}  // namespace godwit::controller
