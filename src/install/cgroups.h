// Control groups of a node, for processes that shall not end with the pod that starts them: of version 1, 2, or both.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "os/mountinfo.h"

namespace godwit::install {

struct CgroupPlace {
  std::string hierarchy;  // where its root is mounted
  std::string path;       // in it, "/" for the root
  bool unified = false;   // version 2

  bool operator==(const CgroupPlace&) const = default;
};

// Of a process, from its /proc/PID/cgroup, in hierarchies that are mounted.
std::vector<CgroupPlace> cgroup_places(const std::string& text, const std::vector<os::Mount>& mounts);

// The calling process goes where the process `pid` is.
Result<> join_cgroups_of(pid_t pid);

// The calling process leaves the pod's, for groups that outlive it: the roots, but of version 2, which wants processes
// in leaves, `godwit`.
Result<> leave_pods_cgroups();
// Removes that again, if nobody is in it.
void remove_own_cgroup();

}  // namespace godwit::install
