#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/container_description.h"
#include "base/result.h"
#include "criu/container_mounts.h"
#include "files/root.h"
#include "os/freezer.h"

namespace godwit::agent {

// A running container of this node, as found when its migration was asked for.
struct SourceContainer {
  ContainerDescription description;
  pid_t init_pid = 0;
  std::string bundle;
  std::string upper;  // of its overlay root, or the root itself; a path of this node
  std::vector<criu::ContainerMount> mounts;
  os::CgroupFreezer freezer;
  std::vector<std::string> notes;  // what the operator should know, e.g. of bind mounts

  [[nodiscard]] std::string netns_path() const { return fmt::format("/proc/{}/ns/net", init_pid); }
  // The trees that go along.
  [[nodiscard]] std::vector<files::SourceRoot> file_roots() const;
  // Of such a tree that is mounted from the node: its mount. Null: it is the container's own.
  [[nodiscard]] const os::Mount* mount_of(uint16_t root_id) const;
};

// Looks at a runc container and refuses what cannot be moved: the error lists every obstacle. Its code is EAGAIN if all
// of them may pass by themselves.
Result<SourceContainer> inspect_container(const AgentConfig& config, const std::string& name);

// Ends a container that is frozen, for good, and removes what it held here: processes, runc's state, network namespace,
// mounts; its bundle too if it lies in config.containers_path. Can be repeated; success if nothing is there.
Result<> remove_container(const AgentConfig& config, const std::string& name, const os::CgroupFreezer& freezer,
                          pid_t init_pid);
// Whatever of the container there is, found by runc; success if runc does not know it.
Result<> end_by_name(const AgentConfig& config, const std::string& name);
// Network namespace, mounts and bundle of a container that has ended.
Result<> remove_container_place(const AgentConfig& config, const std::string& name);

}  // namespace godwit::agent
