// A real Kubernetes cluster on one machine, for the tests: nodes of a lab (lab/lab.h), on which the real components
// run.
//
//   auto cluster = Cluster::start({.nodes = 3, .network = NetworkMode::routed});
//   cluster->kubectl({"get", "nodes"}, Deadline::after(5s));
//
// It ends with the process that started it, unless detached, as its lab does; clusters of different names do not know
// of each other.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "cluster/component.h"
#include "cluster/plan.h"
#include "lab/lab.h"

namespace godwit::cluster {

struct ClusterOptions {
  int nodes = 3;
  std::string name;  // empty: one that no other lab or cluster has
  NetworkMode network = NetworkMode::flat;
  bool dual_stack = false;
  std::string live_runtime = "/usr/bin/runc";  // path in nodes, for the runtime class "live"; empty: none
  std::vector<lab::Bind> binds;                // files of the machine that all nodes shall see
  std::string kubeconfig;                      // also write the administrator's kubeconfig here; empty: no
  // Folder with the components; empty: GODWIT_KUBERNETES, or what tools/kubernetes.sh built.
  std::string kubernetes;
  unsigned long disk_bytes = 4UL << 30;  // of each node's disk, which is memory as far as it is used
  milliseconds start_limit{60'000};
  std::function<void(const std::string&)> progress;  // told each step, for people; may be empty
};

// Owned by whoever started it, one thread at a time; kubectl() may be called by any.
class Cluster {
 public:
  // Returns when all nodes are Ready and pods can be made.
  static Result<Cluster> start(const ClusterOptions& options);
  // A cluster that somebody else started; destroying this object leaves it running.
  static Result<Cluster> attach(const std::string& name);

  [[nodiscard]] const std::string& name() const { return plan_.name; }
  [[nodiscard]] const ClusterPlan& plan() const { return plan_; }
  [[nodiscard]] const lab::Lab& lab() const { return lab_; }
  [[nodiscard]] lab::Lab& lab() { return lab_; }
  [[nodiscard]] int node_count() const { return lab_.node_count(); }
  // Node, or the place of the control plane (0).
  [[nodiscard]] const lab::Node& place(int index) const;
  // The administrator's, for programs of this machine.
  [[nodiscard]] std::string kubeconfig_path() const;

  // Runs kubectl as administrator, beside the API server. A status other than 0 is an error with the end of what it
  // said.
  [[nodiscard]] Result<std::string> kubectl(const std::vector<std::string>& arguments, Deadline deadline) const;
  // `kubectl apply` of a manifest, YAML or JSON.
  [[nodiscard]] Result<> apply(const std::string& manifest, Deadline deadline) const;

  // Routed: makes a place send what is for other nodes' pods to those nodes. An error while a node has no range yet.
  [[nodiscard]] Result<> set_routes(int place) const;

  Result<> detach() { return lab_.detach(); }
  // Ends it and waits until nothing is left.
  Result<> stop();

 private:
  friend class Starter;
  Cluster(ClusterPlan plan, lab::Lab lab) : plan_(std::move(plan)), lab_(std::move(lab)) {}

  ClusterPlan plan_;
  lab::Lab lab_;
};

// Names of the clusters that are up.
std::vector<std::string> living_clusters();

}  // namespace godwit::cluster
