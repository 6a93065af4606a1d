#include "controller/pod_claims.h"

#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "controller/object_reading.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

const json& access_modes(const json& claim) {
  return array_at(claim, "/spec/accessModes");
}

}  // namespace

std::vector<std::string> claims_of(const json& pod) {
  std::vector<std::string> claims;
  for (const json& volume : array_at(pod, "/spec/volumes")) {
    if (std::string claim = kube::text_at(volume, "/persistentVolumeClaim/claimName"); !claim.empty()) {
      claims.push_back(std::move(claim));
    }
  }
  return claims;
}

bool is_for_several_nodes(const json& claim) {
  const auto several = [](const json& mode) { return mode == "ReadWriteMany" || mode == "ReadOnlyMany"; };
  return std::ranges::any_of(access_modes(claim), several);
}

std::vector<std::string> claim_obstacles(const std::vector<json>& claims) {
  std::vector<std::string> obstacles;
  for (const json& claim : claims) {
    if (is_for_several_nodes(claim)) continue;
    obstacles.push_back(fmt::format("only one node at a time may hold the volume of its claim {}: {}",
                                    kube::name_of(claim), access_modes(claim).dump()));
  }
  return obstacles;
}

}  // namespace godwit::controller
