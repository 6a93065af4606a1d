// The mounts of a container as criu is told of them.
//
// Every mount is "external", so that criu saves no contents and makes no file systems: it records a key, and at the
// destination binds what the restore names for the key. Only what belongs to the container's new namespaces (proc,
// sysfs, devpts, mqueue) criu makes anew. This header is where both sides agree on the keys.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "os/mountinfo.h"

namespace godwit::criu {

enum class MountKind {
  root,              // "/": runc provides it
  kernel,            // made anew by criu: proc, sysfs, devpts, mqueue and parts of them
  tmpfs,             // private to the container; whoever restores prepares one and copies the contents
  masked_file,       // hidden by a bind of /dev/null (config.json's linux.maskedPaths)
  masked_directory,  // hidden by an empty read-only tmpfs (likewise)
  cgroup,            // the container's own cgroup directory of one hierarchy
  bind,              // a file or directory of the node that config.json names: a volume, /etc/hosts
  unknown,           // none of these: the container mounted it itself; it cannot go along
};

struct ContainerMount {
  MountKind kind = MountKind::unknown;
  os::Mount mount;
};

// The mounts of a container's first process; `config` is its config.json. Errors: as os::read_mounts().
Result<std::vector<ContainerMount>> read_container_mounts(pid_t pid, const nlohmann::json& config);
// The same for mounts already read.
std::vector<ContainerMount> classify_mounts(std::vector<os::Mount> mounts, const nlohmann::json& config);

// What is in the way of moving a container with these mounts, in words; empty: nothing.
std::vector<std::string> mount_obstacles(const std::vector<ContainerMount>& mounts);

// criu's --external arguments for the dump.
std::vector<std::string> dump_externals(const std::vector<ContainerMount>& mounts);

// The cgroups that `pid` is in, as directories that this process sees, by the name of the hierarchy: "cgroup2",
// "cgroup-freezer", "cgroup-cpu+cpuacct", "cgroup-name=systemd".
Result<std::map<std::string, std::string>> cgroup_directories(pid_t pid);

// What is bound at a tmpfs mount point of the container.
struct MountSource {
  std::string mount_point;  // in the container
  std::string path;         // on this node
};

// criu's --external arguments for the restore. Bind mounts are not among them: runc names those itself.
// `empty_directory` stands behind masked directories; `cgroup_of` is a process that is in the container's cgroups.
Result<std::vector<std::string>> restore_externals(const std::vector<MountSource>& sources,
                                                   const std::string& empty_directory, pid_t cgroup_of);

}  // namespace godwit::criu
