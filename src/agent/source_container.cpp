#include "agent/source_container.h"

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "agent/pod_container.h"
#include "agent/pod_log.h"
#include "agent/preflight.h"
#include "base/log.h"
#include "criu/restore.h"
#include "network/slot.h"
#include "os/file.h"
#include "os/mountinfo.h"
#include "os/procfs.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

Deadline runc_deadline() {
  return Deadline::after(std::chrono::seconds(20));
}

Result<json> runc_state(const AgentConfig& config, const std::string& name) {
  GODWIT_ASSIGN(const os::Output output,
                os::run({.argv = {"runc", "--root", config.runc_root, "state", name}}, runc_deadline()));
  if (output.status != 0) {
    return fail("there is no container '{}' on node {} (godwit ps lists them)", name, config.node_name);
  }
  json state = json::parse(output.text, nullptr, false);
  if (!state.is_object())
    return fail("cannot understand what runc says about '{}': {}", name, output.text.substr(0, 200));
  return state;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(separator, start), text.size());
    parts.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return parts;
}

Result<> describe_root(const os::Mount& mount, const std::string& bundle, SourceContainer& container) {
  if (mount.type != "overlay") {
    container.upper = container.description.config.at("root").value("path", "rootfs");
    if (!container.upper.starts_with('/')) container.upper = bundle + "/" + container.upper;
    return {};
  }
  RootFilesystem& root = container.description.root;
  root.overlay = true;
  const auto lower = mount.super_options.find("lowerdir");
  const auto upper = mount.super_options.find("upperdir");
  if (lower == mount.super_options.end() || upper == mount.super_options.end()) {
    return fail("the container's root is a read-only overlay or one of a form not known (no lowerdir and upperdir)");
  }
  root.lower = split(lower->second, ':');
  container.upper = upper->second;
  if (!os::exists(container.upper)) {
    return fail("the overlay's upper directory {} cannot be reached from the agent", container.upper);
  }
  return {};
}

void describe_binds(const json& config, SourceContainer& container) {
  for (const json& mount : config.value("mounts", json::array())) {
    if (mount.value("type", "") != "bind") continue;
    container.description.bind_sources.push_back(mount.value("source", ""));
    container.notes.push_back(fmt::format("{} is mounted from the node ({}): the destination must have the same there",
                                          mount.value("destination", ""), mount.value("source", "")));
  }
}

std::string tmpfs_options(const os::Mount& mount) {
  std::string options;
  for (const char* name : {"size", "mode", "nr_inodes", "uid", "gid"}) {
    const auto option = mount.super_options.find(name);
    if (option != mount.super_options.end()) {
      options += (options.empty() ? "" : ",") + std::string(name) + "=" + option->second;
    }
  }
  return options;
}

Result<> describe_tmpfs(SourceContainer& container) {
  std::map<std::string, size_t> by_device;
  std::vector<TmpfsMount>& tmpfs = container.description.tmpfs;
  for (const bool whole : {true, false}) {
    for (const criu::ContainerMount& entry : container.mounts) {
      const os::Mount& mount = entry.mount;
      if (entry.kind != criu::MountKind::tmpfs || (mount.root == "/") != whole) continue;
      const auto known = by_device.find(mount.device);
      if (known != by_device.end()) {
        tmpfs[known->second].parts.emplace_back(mount.mount_point, mount.root);
        continue;
      }
      if (!whole) return fail("{} is a part of a tmpfs that the container cannot see as a whole", mount.mount_point);
      by_device[mount.device] = tmpfs.size();
      tmpfs.push_back({.mount_point = mount.mount_point,
                       .options = tmpfs_options(mount),
                       .read_only = mount.super_options.contains("ro"),
                       .parts = {}});
    }
  }
  return {};
}

uint64_t resident_bytes(const os::CgroupFreezer& freezer) {
  const auto pids = os::cgroup_processes(freezer.directory());
  if (!pids) return 0;
  uint64_t pages = 0;
  for (const pid_t pid : *pids) {
    const auto text = os::read_file(fmt::format("/proc/{}/statm", pid));
    unsigned long long size = 0;
    unsigned long long resident = 0;
    if (text && std::sscanf(text->c_str(), "%llu %llu", &size, &resident) == 2) pages += resident;
  }
  return pages * 4096;
}

// Whether the descriptor, by its fdinfo (proc(5)), is of one of these mounts and has an exclusive lock.
bool locks_file_of(const std::string& fdinfo, const std::set<int>& mounts) {
  bool concerned = false;
  bool locked = false;
  std::istringstream lines(fdinfo);
  for (std::string line; std::getline(lines, line);) {
    int mount = 0;
    if (std::sscanf(line.c_str(), "mnt_id: %d", &mount) == 1) concerned = mounts.contains(mount);
    if (line.starts_with("lock:") && line.find(" WRITE ") != std::string::npos) locked = true;
  }
  return concerned && locked;
}

// The frozen copy keeps its locks until it is ended: on a volume that both nodes have, the restore would wait for them.
Result<> check_no_shared_locks(const SourceContainer& container) {
  std::set<int> shared;
  for (const criu::ContainerMount& one : container.mounts) {
    const auto is_it = [&](const PodMount& mount) {
      return mount.mount_point == one.mount.mount_point && !mount.carried;
    };
    if (std::ranges::any_of(container.description.pod_mounts, is_it)) shared.insert(one.mount.id);
  }
  if (shared.empty()) return {};
  GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(container.freezer.directory()));
  for (const pid_t pid : pids) {
    const std::string process = fmt::format("/proc/{}", pid);
    const auto descriptors = os::list_directory(process + "/fdinfo");
    if (!descriptors) continue;  // it has ended
    for (const std::string& descriptor : *descriptors) {
      const auto text = os::read_file(fmt::format("{}/fdinfo/{}", process, descriptor));
      if (!text || !locks_file_of(*text, shared)) continue;
      return fail("container '{}' cannot be migrated: process {} holds a lock on {}, of a volume that both nodes have",
                  container.description.name, pid,
                  os::read_link(fmt::format("{}/fd/{}", process, descriptor)).value_or("a file"));
    }
  }
  return {};
}

// A part of an emptyDir may be a single file; what is copied are directories.
Result<> check_directories(const SourceContainer& container) {
  for (const PodMount& mount : container.description.pod_mounts) {
    const std::string path = fmt::format("/proc/{}/root{}", container.init_pid, mount.mount_point);
    struct stat status{};
    if (!mount.carried || ::stat(path.c_str(), &status) != 0 || S_ISDIR(status.st_mode)) continue;
    return fail("container '{}' cannot be migrated: {} is a single file of an emptyDir (subPath); mount its directory",
                container.description.name, mount.mount_point);
  }
  return {};
}

}  // namespace

std::vector<files::SourceRoot> SourceContainer::file_roots() const {
  std::vector<files::SourceRoot> roots;
  roots.push_back({.id = root_filesystem_id,
                   .kind = description.root.overlay ? files::RootKind::overlay_upper : files::RootKind::plain,
                   .path = upper,
                   .mount_point = "/"});
  for (size_t i = 0; i < description.tmpfs.size(); ++i) {
    const std::string& mount_point = description.tmpfs[i].mount_point;
    roots.push_back({.id = tmpfs_id(i),
                     .kind = files::RootKind::tmpfs,
                     .path = fmt::format("/proc/{}/root{}", init_pid, mount_point),
                     .mount_point = mount_point});
  }
  for (size_t i = 0; i < description.pod_mounts.size(); ++i) {
    const std::string& mount_point = description.pod_mounts[i].mount_point;
    if (!description.pod_mounts[i].carried) continue;
    roots.push_back({.id = pod_mount_id(i),
                     .kind = files::RootKind::plain,
                     .path = fmt::format("/proc/{}/root{}", init_pid, mount_point),
                     .mount_point = mount_point});
  }
  if (const std::string log = description.in_pod ? pod_log_directory(description.config) : ""; !log.empty()) {
    roots.push_back({.id = pod_log_id, .kind = files::RootKind::plain, .path = log, .mount_point = ""});
  }
  return roots;
}

const os::Mount* SourceContainer::mount_of(uint16_t root_id) const {
  const os::Mount* found = nullptr;
  if (root_id < pod_mount_ids) return found;
  const std::string& mount_point = description.pod_mounts[root_id - pod_mount_ids].mount_point;
  for (const criu::ContainerMount& one : mounts) {
    if (one.mount.mount_point == mount_point) found = &one.mount;  // the last one hides those before it
  }
  return found;
}

Result<SourceContainer> inspect_container(const AgentConfig& config, const std::string& name) {
  if (!valid_container_name(name)) return fail("'{}' is not a container name", name);
  GODWIT_ASSIGN(const json state, runc_state(config, name));
  const std::string status = state.value("status", "");
  const auto init_pid = state.value("pid", 0);
  if (status != "running" || init_pid <= 0) {
    return fail("container '{}' is {}; only a running one can be migrated", name,
                status.empty() ? "not running" : status);
  }
  const std::string bundle = state.value("bundle", "");
  GODWIT_ASSIGN(const std::string config_text, os::read_file(bundle + "/config.json"));
  const json container_config = json::parse(config_text, nullptr, false);
  if (!container_config.is_object() || !container_config.contains("root")) {
    return fail("{}/config.json is not a container's configuration", bundle);
  }
  GODWIT_ASSIGN(os::CgroupFreezer freezer, os::CgroupFreezer::of_process(init_pid));
  SourceContainer container{.description = {},
                            .init_pid = init_pid,
                            .bundle = bundle,
                            .upper = {},
                            .mounts = {},
                            .freezer = std::move(freezer),
                            .notes = {}};
  container.description.name = name;
  container.description.config = container_config;
  GODWIT_ASSIGN(container.mounts, criu::read_container_mounts(init_pid, container_config));
  GODWIT_ASSIGN(std::vector<Obstacle> obstacles,
                migration_obstacles(container_config, init_pid, container.freezer.directory()));
  for (std::string& obstacle : criu::mount_obstacles(container.mounts)) obstacles.emplace_back(std::move(obstacle));
  if (!obstacles.empty()) {
    const std::string list =
        std::accumulate(std::next(obstacles.begin()), obstacles.end(), obstacles.front().text,
                        [](const std::string& text, const Obstacle& next) { return text + "; " + next.text; });
    const bool passes = std::ranges::all_of(obstacles, &Obstacle::passes);
    return std::unexpected(
        Error{fmt::format("container '{}' cannot be migrated: {}", name, list), passes ? EAGAIN : 0});
  }
  for (const criu::ContainerMount& mount : container.mounts) {
    if (mount.kind == criu::MountKind::root) GODWIT_TRY(describe_root(mount.mount, bundle, container));
  }
  container.description.in_pod = !sandbox_of(container_config).empty();
  if (container.description.in_pod) {
    container.description.pod_mounts = pod_mounts(container_config, init_pid);
    GODWIT_TRY(check_directories(container));
    GODWIT_TRY(check_no_shared_locks(container));
  } else {
    describe_binds(container_config, container);
  }
  GODWIT_TRY(describe_tmpfs(container));
  GODWIT_ASSIGN(container.description.interface, network::read_interface(container.netns_path()));
  GODWIT_ASSIGN(container.description.cpu_features, cpu_features());
  container.description.memory_bytes = resident_bytes(container.freezer);
  return container;
}

Result<> remove_container(const AgentConfig& config, const std::string& name, const os::CgroupFreezer& freezer,
                          pid_t init_pid) {
  const Deadline deadline = runc_deadline();
  // The first process of a pid namespace takes all others along. A frozen one dies only when thawed, and it must not
  // run an instruction before that: hence this order.
  if (init_pid > 0 && ::kill(init_pid, SIGKILL) != 0 && errno != ESRCH) return fail_errno("kill container '{}'", name);
  if (os::exists(freezer.directory())) GODWIT_TRY(freezer.thaw(deadline));
  while (init_pid > 0 && os::exists(freezer.directory())) {
    const auto left = os::cgroup_processes(freezer.directory());
    if (!left || left->empty()) break;
    if (deadline.expired()) return fail("{} processes of container '{}' do not end", left->size(), name);
    ::usleep(2000);
  }
  criu::unmount_restore_root(config.runc_root, name);
  GODWIT_ASSIGN(const os::Output deleted,
                os::run({.argv = {"runc", "--root", config.runc_root, "delete", "--force", name}}, deadline));
  if (deleted.status != 0) return fail("runc delete {}: {}", name, deleted.text);
  return remove_container_place(config, name);
}

Result<> end_by_name(const AgentConfig& config, const std::string& name) {
  const auto state = runc_state(config, name);
  if (!state) return criu::remove_runc_state(config.runc_root, name);  // left by a restore that did not come far
  const auto init_pid = state->value("pid", 0);
  if (init_pid > 0) {
    if (auto freezer = os::CgroupFreezer::of_process(init_pid)) {
      return remove_container(config, name, *freezer, init_pid);
    }
  }
  GODWIT_ASSIGN(const os::Output deleted,
                os::run({.argv = {"runc", "--root", config.runc_root, "delete", "--force", name}}, runc_deadline()));
  if (deleted.status != 0) return fail("runc delete {}: {}", name, deleted.text);
  return {};
}

Result<> remove_container_place(const AgentConfig& config, const std::string& name) {
  const std::string bundle = config.containers_path + "/" + name;
  GODWIT_TRY(network::remove_slot(name));
  GODWIT_ASSIGN(const std::vector<os::Mount> mounts, os::read_mounts(::getpid()));
  for (auto mount = mounts.rbegin(); mount != mounts.rend(); ++mount) {
    if (mount->mount_point != bundle && !mount->mount_point.starts_with(bundle + "/")) continue;
    if (::umount2(mount->mount_point.c_str(), MNT_DETACH) != 0 && errno != EINVAL && errno != ENOENT) {
      return fail_errno("unmount {}", mount->mount_point);
    }
  }
  return os::remove_tree(bundle);
}

}  // namespace godwit::agent
