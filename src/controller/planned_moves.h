// The pods that are on their way to another node, as they will be there. Several Migrations choose their destinations
// at the same time, before any of their clones exists; and a clone has not all of its pod's labels until it is handed
// over, so that affinity and spread would not see what it is.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::controller {

// Where the pod is going, as another pod's choice is to see it: by the name of its clone, on that node.
nlohmann::json moved_pod(const nlohmann::json& pod, const std::string& clone_name, const std::string& node);
// Whether `pod` is such a one, in the cluster already.
bool is_clone_of(const nlohmann::json& pod, const nlohmann::json& moved);

// What all runs of a controller share. Called from any thread.
class PlannedMoves {
 public:
  // Of a Migration, by its uid; in place of what it planned before.
  void plan(const std::string& migration, nlohmann::json moved);
  void forget(const std::string& migration);
  // While nobody else chooses: `choose` is given what is planned, and what it comes to is planned as well.
  using Choice = std::function<Result<nlohmann::json>(const std::vector<nlohmann::json>& planned)>;
  Result<nlohmann::json> choose(const std::string& migration, const Choice& choose);

 private:
  std::mutex mutex_;
  std::map<std::string, nlohmann::json> moves_;
};

}  // namespace godwit::controller
