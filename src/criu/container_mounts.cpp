#include "criu/container_mounts.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <sstream>

#include <nlohmann/json.hpp>

#include "os/file.h"

namespace godwit::criu {
namespace {

constexpr const char* null_key = "godwit-null";
constexpr const char* empty_directory_key = "godwit-empty";

struct Configured {
  std::set<std::string> binds;
  std::set<std::string> masked;
};

// config.json is written by engines of all kinds: what is not as expected is left out.
Configured read_config(const nlohmann::json& config) {
  Configured result;
  for (const auto& mount : config.value("mounts", nlohmann::json::array())) {
    if (!mount.is_object()) continue;
    bool bind = mount.value("type", "") == "bind";
    for (const auto& option : mount.value("options", nlohmann::json::array()))
      bind = bind || option == "bind" || option == "rbind";
    if (bind) result.binds.insert(mount.value("destination", ""));
  }
  const nlohmann::json platform = config.value("linux", nlohmann::json::object());
  for (const auto& path : platform.value("maskedPaths", nlohmann::json::array()))
    if (path.is_string()) result.masked.insert(path.get<std::string>());
  return result;
}

bool is_kernel_type(const std::string& type) {
  static constexpr std::array types{"proc", "sysfs", "devpts", "mqueue"};
  return std::find(types.begin(), types.end(), type) != types.end();
}

MountKind kind_of(const os::Mount& mount, const Configured& configured) {
  if (mount.mount_point == "/") return MountKind::root;
  if (configured.binds.contains(mount.mount_point)) return MountKind::bind;
  if (mount.type == "cgroup" || mount.type == "cgroup2") return MountKind::cgroup;
  const bool masked = configured.masked.contains(mount.mount_point);
  // Of /dev's own tmpfs at first, of the node's devtmpfs once the container has been restored.
  if (masked && mount.root == "/null") return MountKind::masked_file;
  // A tmpfs at first, a directory of the node once the container has been restored.
  if (masked) return MountKind::masked_directory;
  if (mount.type == "tmpfs" && mount.root == "/") return MountKind::tmpfs;
  if (is_kernel_type(mount.type)) return MountKind::kernel;
  return MountKind::unknown;
}

// Names one hierarchy: "cgroup2", "cgroup-cpu+cpuacct", "cgroup-name=systemd". Options as /proc/PID/mountinfo or,
// joined by commas, /proc/PID/cgroup has them.
std::string hierarchy_key(std::vector<std::string> controllers) {
  if (controllers.empty()) return "cgroup2";
  std::sort(controllers.begin(), controllers.end());
  std::string key = "cgroup";
  for (size_t i = 0; i < controllers.size(); ++i) key += (i == 0 ? "-" : "+") + controllers[i];
  return key;
}

std::string hierarchy_key(const os::Mount& mount) {
  if (mount.type == "cgroup2") return "cgroup2";
  std::vector<std::string> controllers;
  for (const auto& [name, value] : mount.super_options) {
    static constexpr std::array others{
        "rw", "ro", "noprefix", "xattr", "clone_children", "release_agent", "cpuset_v2_mode", "favordynmods"};
    if (std::find(others.begin(), others.end(), name) != others.end()) continue;
    controllers.push_back(value.empty() ? name : name + "=" + value);
  }
  return hierarchy_key(std::move(controllers));
}

// "4:cpu,cpuacct:/a/b" -> {"cgroup-cpu+cpuacct", "/a/b"}
std::pair<std::string, std::string> parse_cgroup_line(const std::string& line) {
  const size_t first = line.find(':');
  const size_t second = line.find(':', first + 1);
  if (first == std::string::npos || second == std::string::npos) return {};
  std::vector<std::string> controllers;
  std::istringstream names(line.substr(first + 1, second - first - 1));
  for (std::string name; std::getline(names, name, ',');) controllers.push_back(name);
  return {hierarchy_key(std::move(controllers)), line.substr(second + 1)};
}

}  // namespace

std::vector<ContainerMount> classify_mounts(std::vector<os::Mount> mounts, const nlohmann::json& config) {
  const Configured configured = read_config(config);
  std::vector<ContainerMount> result;
  result.reserve(mounts.size());
  for (os::Mount& mount : mounts) {
    const MountKind kind = kind_of(mount, configured);
    result.push_back({.kind = kind, .mount = std::move(mount)});
  }
  return result;
}

Result<std::vector<ContainerMount>> read_container_mounts(pid_t pid, const nlohmann::json& config) {
  GODWIT_ASSIGN(std::vector<os::Mount> mounts, os::read_mounts(pid));
  nlohmann::json resolved = config;
  if (resolved.contains("mounts")) {
    for (auto& mount : resolved["mounts"]) {
      if (!mount.is_object()) continue;
      mount["destination"] =
          os::resolve_in_root(fmt::format("/proc/{}/root", pid), mount.value("destination", std::string()));
    }
  }
  return classify_mounts(std::move(mounts), resolved);
}

std::vector<std::string> mount_obstacles(const std::vector<ContainerMount>& mounts) {
  std::vector<std::string> obstacles;
  for (const ContainerMount& entry : mounts) {
    if (entry.kind != MountKind::unknown) continue;
    obstacles.push_back(
        fmt::format("{} ({}) was mounted by the container itself: config.json has no such bind mount; "
                    "unmount it",
                    entry.mount.mount_point, entry.mount.type));
  }
  return obstacles;
}

std::vector<std::string> dump_externals(const std::vector<ContainerMount>& mounts) {
  std::vector<std::string> externals;
  const auto add = [&](const os::Mount& mount, const std::string& key) {
    externals.push_back(fmt::format("mnt[{}]:{}", mount.mount_point, key));
  };
  for (const auto& [kind, mount] : mounts) {
    switch (kind) {
      case MountKind::root:
      case MountKind::kernel:
      case MountKind::unknown:
        break;
      case MountKind::tmpfs:
      case MountKind::bind:
        add(mount, mount.mount_point);
        break;
      case MountKind::masked_file:
        add(mount, null_key);
        break;
      case MountKind::masked_directory:
        add(mount, empty_directory_key);
        break;
      case MountKind::cgroup:
        add(mount, hierarchy_key(mount));
        break;
    }
  }
  return externals;
}

Result<std::map<std::string, std::string>> cgroup_directories(pid_t pid) {
  GODWIT_ASSIGN(const std::string text, os::read_file(fmt::format("/proc/{}/cgroup", pid)));
  GODWIT_ASSIGN(const std::vector<os::Mount> mounts, os::read_mounts(::getpid()));
  std::map<std::string, std::string> directories;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto [key, cgroup] = parse_cgroup_line(line);
    for (const os::Mount& mount : mounts) {
      if ((mount.type != "cgroup" && mount.type != "cgroup2") || hierarchy_key(mount) != key) continue;
      const std::string root = mount.root == "/" ? "" : mount.root;
      if (!(cgroup + "/").starts_with(root + "/")) continue;
      const std::string directory = mount.mount_point + cgroup.substr(root.size());
      if (os::exists(directory)) directories.emplace(key, directory);
    }
  }
  return directories;
}

Result<std::vector<std::string>> restore_externals(const std::vector<MountSource>& sources,
                                                   const std::string& empty_directory, pid_t cgroup_of) {
  GODWIT_ASSIGN(const auto cgroups, cgroup_directories(cgroup_of));
  std::vector<std::string> externals{fmt::format("mnt[{}]:/dev/null", null_key),
                                     fmt::format("mnt[{}]:{}", empty_directory_key, empty_directory)};
  for (const MountSource& source : sources)
    externals.push_back(fmt::format("mnt[{}]:{}", source.mount_point, source.path));
  for (const auto& [key, directory] : cgroups) externals.push_back(fmt::format("mnt[{}]:{}", key, directory));
  return externals;
}

}  // namespace godwit::criu
