// Keeps the labels of nodes and pods true: which nodes support live migration, which pods can be migrated. Follows
// nodes, node templates, pods and their claims by watches; nothing is listed again and again. What else must know all
// nodes and pods listens along: the addresses of pods that have moved.
#pragma once

#include <stop_token>
#include <thread>

#include "controller/address_keeper.h"
#include "controller/cluster_view.h"
#include "controller/node_assessor.h"
#include "controller/pod_assessor.h"

namespace godwit::controller {

struct AssessmentOptions {
  NodeAssessorOptions nodes;
  AddressKeeperOptions addresses;
  size_t pods_at_once = 8;
  uint64_t patches_per_s = 1000;  // at most
};

// Owned by whoever leads; all it uses outlives it.
class Assessment {
 public:
  Assessment(kube::Client& client, ClusterView& view, const AgentLink& agents, AssessmentOptions options);
  ~Assessment() { stop(); }
  Assessment(const Assessment&) = delete;
  Assessment& operator=(const Assessment&) = delete;

  // Returns at once. Nothing is labelled before nodes, templates and pods are all known: labels would be taken away for
  // want of a template that has not been read yet.
  void start();
  void stop();

 private:
  void node_changed(const kube::Change& change);
  void template_changed(const kube::Change& change);
  void begin_when_synced(const std::stop_token& stop);

  const AssessmentOptions options_;
  transfer::TokenBucket pace_;
  const LabelWriter writer_;
  NodeRoster roster_;
  ClusterView& view_;
  NodeAssessor node_assessor_;
  PodAssessor pod_assessor_;
  AddressKeeper address_keeper_;
  std::jthread starter_;
};

}  // namespace godwit::controller
