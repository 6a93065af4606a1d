#include "agent/recorded_limits.h"

#include "base/log.h"
#include "criu/container_mounts.h"

namespace godwit::agent {

using nlohmann::json;

Result<> lift_cpu_limits(pid_t pid, bool in_pod, CpuLimits& lifted, const std::function<Result<>()>& write) {
  GODWIT_ASSIGN(const auto directories, criu::cgroup_directories(pid));
  CpuLimits limits;
  for (const auto& [hierarchy, directory] : directories) {
    GODWIT_ASSIGN(const CpuLimits found, os::cpu_limits(directory, in_pod ? 2 : 1));
    limits.insert(limits.end(), found.begin(), found.end());
  }
  if (limits.empty()) return {};
  lifted.insert(lifted.end(), limits.begin(), limits.end());
  GODWIT_TRY(write());
  for (const os::CpuLimit& limit : limits) {
    if (auto done = os::lift(limit); !done) log_warning("{}", done.error().message);
  }
  return {};
}

// What is above comes first: it may not be less than what is below.
void put_back(const CpuLimits& limits) {
  for (auto limit = limits.rbegin(); limit != limits.rend(); ++limit) {
    if (auto back = os::put_back(*limit); !back) log_error("{}", back.error().message);
  }
}

json to_json(const CpuLimits& limits) {
  json all = json::array();
  for (const os::CpuLimit& limit : limits) all.push_back({{"path", limit.path}, {"value", limit.value}});
  return all;
}

CpuLimits cpu_limits_from_json(const json& source) {
  CpuLimits limits;
  for (const json& limit : source) {
    limits.push_back({.path = limit.at("path").get<std::string>(), .value = limit.at("value").get<std::string>()});
  }
  return limits;
}

}  // namespace godwit::agent
