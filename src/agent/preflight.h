// Whether a container can be moved at all, found out before anything is touched. Each refusal says what is in the way
// and what to do about it.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace godwit::agent {

struct Obstacle {
  std::string text;
  bool passes = false;  // by itself, soon: a probe or a person runs something in the container
};

// What is in the way; empty: nothing. `config` is the container's config.json, `init_pid` its first process.
Result<std::vector<Obstacle>> migration_obstacles(const nlohmann::json& config, pid_t init_pid,
                                                  const std::string& cgroup_directory);

// Some may have been made since then.
Result<> check_no_message_queues(pid_t init_pid);

// The CPU features (flags of /proc/cpuinfo) that `source` has and this machine has not; programs choose code by them at
// their start, so a destination must have them all. Sorted.
std::vector<std::string> missing_cpu_features(const std::vector<std::string>& source);
Result<std::vector<std::string>> cpu_features();

}  // namespace godwit::agent
