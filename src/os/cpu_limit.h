// The limit that a cgroup sets to the processor time of its tasks: cpu.cfs_quota_us (version 1), cpu.max (version 2).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::os {

struct CpuLimit {
  std::string path;   // of the file
  std::string value;  // what it says
};

// Those of a cgroup and of `levels` - 1 above it. A cgroup that has no limit, or whose hierarchy has none, is left out.
Result<std::vector<CpuLimit>> cpu_limits(const std::string& directory, size_t levels);

// For the moment in which a container stands still: what saves and restores its tasks is done by these very tasks, and
// a limit that lets them run for 10 ms in 100 would make the pause ten times as long.
Result<> lift(const CpuLimit& limit);
// A cgroup that is gone needs no limit.
Result<> put_back(const CpuLimit& limit);

}  // namespace godwit::os
