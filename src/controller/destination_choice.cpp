#include "controller/destination_choice.h"

#include <algorithm>

#include <fmt/ranges.h>

#include "api/names.h"
#include "controller/clone_pod.h"
#include "controller/node_fit.h"
#include "kube/json_path.h"

namespace godwit::controller {

using nlohmann::json;

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

OtherPods::OtherPods(const json& pod, const std::vector<json>& nodes) : affinity_(pod, nodes), spread_(pod, nodes) {
  json clone = pod;
  skip_beginnings(clone);  // nor do their init containers need room
  wanted_ = requests_of(clone);
}

void OtherPods::add(const json& other) {
  room_.add(other);
  affinity_.add(other);
  spread_.add(other);
}

std::vector<std::string> OtherPods::obstacles(const json& node) const {
  std::vector<std::string> found = room_.shortages(wanted_, node);
  for (std::string& one : affinity_.misfits(node)) found.push_back(std::move(one));
  for (std::string& one : spread_.misfits(node)) found.push_back(std::move(one));
  return found;
}

namespace {

// Of the nodes that can take the pod, the one with the fewest.
Result<std::string> choose_node(const DestinationRequest& request, const std::vector<json>& nodes,
                                const OtherPods& others) {
  const std::string source = kube::text_at(request.pod, "/spec/nodeName");
  NodeTraits here;
  for (const json& node : nodes) {
    if (kube::name_of(node) == source) here = traits_of(node);
  }
  std::string best;
  std::vector<std::string> reasons;
  for (const json& node : nodes) {
    const std::string name = kube::name_of(node);
    if (name == source || (!request.wanted.empty() && name != request.wanted)) continue;
    std::vector<std::string> against = destination_obstacles(request.pod, node, here, !request.wanted.empty());
    for (std::string& one : others.obstacles(node)) against.push_back(std::move(one));
    reasons.insert(reasons.end(), against.begin(), against.end());
    if (against.empty() && (best.empty() || others.count_on(name) < others.count_on(best))) best = name;
  }
  if (best.empty() && reasons.empty()) {
    return request.wanted.empty() ? fail("there is no other node") : fail("there is no node {}", request.wanted);
  }
  if (best.empty()) return fail("no node can take it: {}", fmt::join(reasons, "; "));
  return best;
}

}  // namespace

Result<std::string> choose_destination(kube::Client& client, const DestinationRequest& request, PlannedMoves& moves,
                                       const kube::Call& call) {
  if (request.wanted == kube::text_at(request.pod, "/spec/nodeName")) {
    return fail("the pod is on node {} already", request.wanted);
  }
  GODWIT_ASSIGN(const std::vector<json> nodes, client.list_all(kube::resources::nodes, {}, call));
  OtherPods others(request.pod, nodes);
  std::vector<json> arriving;  // or arrived: what is planned may be one of them
  const kube::ChunkSink count = [&](json::array_t pods, bool first) {
    if (first) {
      others = OtherPods(request.pod, nodes);
      arriving.clear();
    }
    for (json& other : pods) {
      if (kube::annotation_of(other, api::annotations::restore).empty()) {
        others.add(other);
      } else {
        arriving.push_back(std::move(other));
      }
    }
  };
  GODWIT_TRY(client.list(kube::resources::pods, {}, count, call));
  GODWIT_ASSIGN(const json moved,
                moves.choose(request.migration, [&](const std::vector<json>& planned) -> Result<json> {
                  for (const json& other : planned) others.add(other);
                  for (const json& other : arriving) {
                    const auto is_it = [&](const json& move) { return is_clone_of(other, move); };
                    if (std::ranges::none_of(planned, is_it)) others.add(other);
                  }
                  GODWIT_ASSIGN(const std::string node, choose_node(request, nodes, others));
                  return moved_pod(request.pod, request.clone_name, node);
                }));
  return kube::text_at(moved, "/spec/nodeName");
}

}  // namespace godwit::controller
