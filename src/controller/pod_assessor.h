// Labels the pods that can be migrated.
#pragma once

#include <atomic>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/node_assessor.h"
#include "controller/node_roster.h"
#include "controller/work_loop.h"
#include "kube/informer.h"

namespace godwit::controller {

// For an informer: makes of a pod what its assessment must remember, a tenth of its size. What the pod itself must meet
// is decided here, once for each change of it.
void summarize_pod(nlohmann::json& pod);
// Whether a pod that was summarized meets all that it itself must.
bool is_movable(const nlohmann::json& summary);

// Whether it is the clone of a migration that is not over.
bool is_arriving(const nlohmann::json& summary);

inline constexpr const char* pods_by_node = "node";

// Any thread may call it; store and roster outlive it. The store has summaries, and the index pods_by_node.
class PodAssessor {
 public:
  PodAssessor(const LabelWriter& writer, const kube::Store& pods, const NodeRoster& nodes);

  void pod_changed(const kube::Change& change);
  void nodes_changed(const std::vector<std::string>& names);
  // Once the store is complete and the roster knows all nodes.
  void start(size_t threads);
  void stop();

 private:
  Result<> assess(const std::string& key, const std::stop_token& stop);

  const LabelWriter& writer_;
  const kube::Store& pods_;
  const NodeRoster& nodes_;
  std::atomic<bool> started_ = false;
  // One pod's change does not wait behind the thousands that a node template concerns.
  WorkLoop changed_;
  WorkLoop many_;
};

}  // namespace godwit::controller
