// CPU limits that are lifted while a container stands still, as a session's record has them, so that whoever finishes
// it puts them back.
#pragma once

#include <sys/types.h>

#include <functional>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "os/cpu_limit.h"

namespace godwit::agent {

using CpuLimits = std::vector<os::CpuLimit>;

// Lifts those of a process' container, and of its pod. They are added to `lifted`, and `write` writes the record,
// before that: one that nobody would put back is not lifted. What cannot be lifted is only logged: a limit makes
// nothing wrong, only slow.
Result<> lift_cpu_limits(pid_t pid, bool in_pod, CpuLimits& lifted, const std::function<Result<>()>& write);
// Goes on after an error, which is only logged.
void put_back(const CpuLimits& limits);

nlohmann::json to_json(const CpuLimits& limits);
// Throws json::exception, as the reading of records does.
CpuLimits cpu_limits_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
