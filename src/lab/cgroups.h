// The lab's part of the machine's cgroup hierarchies: one subtree for each place in every hierarchy there is, version 1
// (one for each controller) or version 2, so that a container runtime inside a node finds what it would on a machine of
// its own.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::lab {

struct Hierarchy {
  std::string mount_point;    // e.g. /sys/fs/cgroup/freezer
  std::string mount_options;  // to mount it once more, e.g. "freezer" or "none,name=systemd"; empty for version 2
  bool version_2 = false;
};

// The hierarchies mounted here, each once. An error if there is none.
Result<std::vector<Hierarchy>> find_hierarchies();
// From the text of a /proc/PID/mountinfo.
std::vector<Hierarchy> parse_hierarchies(const std::string& mountinfo);

// Makes `path` (relative, parents included) in every hierarchy, ready to take processes.
Result<> create_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path);
// Opens what join_cgroup() needs, so that the joining itself works where the hierarchies cannot be seen.
Result<std::vector<UniqueFd>> open_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path);
// Moves the calling process. Async-signal-safe.
bool join_cgroup(const std::vector<UniqueFd>& cgroup);

// Below are for ending a lab; `path` is its subtree. A subtree that is not there counts as empty.

// Thaws everything, top down. A frozen process does not die of SIGKILL, so this comes before any killing.
void thaw_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path);
std::vector<pid_t> processes_of_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path);
// Thaws and kills until no process is left, then removes the subtree everywhere.
Result<> destroy_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path, Deadline deadline);

}  // namespace godwit::lab
