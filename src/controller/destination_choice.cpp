#include "controller/destination_choice.h"

#include <map>

#include <fmt/ranges.h>

#include "api/names.h"
#include "controller/node_fit.h"
#include "controller/node_room.h"
#include "controller/pod_affinity.h"
#include "kube/json_path.h"

namespace godwit::controller {

namespace {

using nlohmann::json;

// What the pods of the cluster mean for one that moves.
struct Others {
  explicit Others(const json& pod) : affinity(pod) {}
  void add(const json& other) {
    room.add(other);
    affinity.add(other);
  }
  NodeRoom room;
  PodAffinity affinity;
};

}  // namespace

std::vector<std::string> destination_obstacles(const json& pod, const json& node, const NodeTraits& source,
                                               bool asked_for) {
  const std::string name = kube::name_of(node);
  const NodeTraits traits = traits_of(node);
  std::vector<std::string> obstacles = traits.obstacles;
  if (!asked_for && kube::flag_at(node, "/spec/unschedulable")) {
    obstacles.push_back(fmt::format("node {} is cordoned", name));
  }
  const std::vector<std::string> unfit = misfits(pod, node);
  obstacles.insert(obstacles.end(), unfit.begin(), unfit.end());
  if (traits.architecture != source.architecture) {
    obstacles.push_back(fmt::format("node {} is of another CPU architecture", name));
  }
  if (traits.custom_network != source.custom_network) {
    obstacles.push_back(fmt::format("node {} is not alike in label {}", name, api::labels::custom_network));
  }
  return obstacles;
}

Result<std::string> choose_destination(kube::Client& client, const json& pod, const std::string& wanted,
                                       const kube::Call& call) {
  const std::string source = kube::text_at(pod, "/spec/nodeName");
  GODWIT_ASSIGN(const std::vector<json> nodes, client.list_all(kube::resources::nodes, {}, call));
  Others others(pod);
  const kube::ChunkSink count = [&](json::array_t pods, bool first) {
    if (first) others = Others(pod);
    for (const json& other : pods) others.add(other);
  };
  GODWIT_TRY(client.list(kube::resources::pods, {}, count, call));
  NodeTraits here;
  std::map<std::string, json> labels;
  for (const json& node : nodes) {
    if (kube::name_of(node) == source) here = traits_of(node);
    labels[kube::name_of(node)] = node["metadata"].value("labels", json::object());
  }
  if (wanted == source) return fail("the pod is on node {} already", wanted);
  std::string best;
  std::vector<std::string> reasons;
  for (const json& node : nodes) {
    const std::string name = kube::name_of(node);
    if (name == source || (!wanted.empty() && name != wanted)) continue;
    std::vector<std::string> against = destination_obstacles(pod, node, here, !wanted.empty());
    for (std::string& one : others.room.shortages(pod, node)) against.push_back(std::move(one));
    for (std::string& one : others.affinity.misfits(name, labels)) against.push_back(std::move(one));
    reasons.insert(reasons.end(), against.begin(), against.end());
    if (against.empty() && (best.empty() || others.room.pods_on(name) < others.room.pods_on(best))) best = name;
  }
  if (best.empty() && reasons.empty()) {
    return wanted.empty() ? fail("there is no other node") : fail("there is no node {}", wanted);
  }
  if (best.empty()) return fail("no node can take it: {}", fmt::join(reasons, "; "));
  return best;
}

}  // namespace godwit::controller
