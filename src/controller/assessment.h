// Keeps the labels of nodes and pods true: which nodes support live migration, which pods can be migrated. Follows
// nodes, node templates and pods by watches; nothing is listed again and again. What else must know all nodes and pods
// shares these: the addresses of pods that have moved.
#pragma once

#include <memory>
#include <stop_token>
#include <thread>

#include "controller/address_keeper.h"
#include "controller/node_assessor.h"
#include "controller/pod_assessor.h"
#include "kube/informer.h"

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
  Assessment(kube::Client& client, const AgentLink& agents, AssessmentOptions options);
  ~Assessment();
  Assessment(const Assessment&) = delete;
  Assessment& operator=(const Assessment&) = delete;

  // Returns at once. Nothing is labelled before nodes, templates and pods are all known: labels would be taken away for
  // want of a template that has not been read yet.
  void start();
  void stop();

 private:
  void watch_nodes();
  void watch_templates();
  void watch_pods();
  void begin_when_synced(const std::stop_token& stop);

  const AssessmentOptions options_;
  transfer::TokenBucket pace_;
  const LabelWriter writer_;
  NodeRoster roster_;
  // Their handlers use the assessors, whose threads use their stores: the threads end first, then the informers go.
  std::unique_ptr<kube::Informer> nodes_;
  std::unique_ptr<kube::Informer> templates_;
  std::unique_ptr<kube::Informer> pods_;
  NodeAssessor node_assessor_;
  PodAssessor pod_assessor_;
  AddressKeeper address_keeper_;
  std::jthread starter_;
};

}  // namespace godwit::controller
