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

// Keys of the claims that the pod's volumes come from.
std::vector<std::string> claim_keys_of(const nlohmann::json& summary);

inline constexpr const char* pods_by_node = "node";
inline constexpr const char* pods_by_claim = "claim";
inline constexpr const char* pods_by_demand = "demand";  // those that ask something of their node by `demanding`
inline constexpr const char* demanding = "yes";

// Any thread may call it; stores and roster outlive it. `pods` has summaries, and the indexes above.
class PodAssessor {
 public:
  PodAssessor(const LabelWriter& writer, const kube::Store& pods, const kube::Store& claims, const NodeRoster& nodes);

  void pod_changed(const kube::Change& change);
  void claim_changed(const kube::Change& change);
  void nodes_changed(const NodeRoster::Concern& concern);
  // Once the stores are complete and the roster knows all nodes.
  void start(size_t threads);
  void stop();

 private:
  Result<> assess(const std::string& key, const std::stop_token& stop);
  [[nodiscard]] bool can_take_volumes(const nlohmann::json& pod) const;

  const LabelWriter& writer_;
  const kube::Store& pods_;
  const kube::Store& claims_;
  const NodeRoster& nodes_;
  std::atomic<bool> started_ = false;
  // One pod's change does not wait behind the thousands that a node template concerns.
  WorkLoop changed_;
  WorkLoop many_;
};

}  // namespace godwit::controller
