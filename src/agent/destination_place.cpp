#include "agent/destination_place.h"

#include <sys/mount.h>

#include <fmt/ranges.h>

#include "agent/preflight.h"
#include "os/file.h"

namespace godwit::agent {

Result<uint64_t> available_memory_bytes() {
  GODWIT_ASSIGN(const std::string text, os::read_file("/proc/meminfo"));
  const size_t at = text.find("MemAvailable:");
  unsigned long long kib = 0;
  if (at == std::string::npos || std::sscanf(text.c_str() + at, "MemAvailable: %llu", &kib) != 1) {
    return fail("/proc/meminfo does not tell how much memory is available");
  }
  return kib * 1024;
}

Result<> check_node_fits(const AgentConfig& config, const ContainerDescription& description) {
  const std::vector<std::string> missing = missing_cpu_features(description.cpu_features);
  if (!missing.empty()) {
    return fail("the CPU of node {} lacks features that the container may be using: {}", config.node_name,
                fmt::join(missing, " "));
  }
  GODWIT_ASSIGN(const uint64_t available, available_memory_bytes());
  if (description.memory_bytes > available) {
    return fail("node {} has {} MiB of memory available, the container needs about {} MiB", config.node_name,
                available >> 20, description.memory_bytes >> 20);
  }
  return {};
}

Result<> DestinationPlace::make_tmpfs() {
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) {
    const std::string path = tmpfs_path(i);
    GODWIT_TRY(os::make_directories(path, 0755));
    if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID, description_.tmpfs[i].options.c_str()) != 0) {
      return fail_errno("mount a tmpfs for {}", description_.tmpfs[i].mount_point);
    }
  }
  return {};
}

std::vector<files::DestinationRoot> DestinationPlace::roots_with(const std::string& root_path) const {
  std::vector<files::DestinationRoot> roots{{.id = root_filesystem_id, .path = root_path}};
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) roots.push_back({.id = tmpfs_id(i), .path = tmpfs_path(i)});
  return roots;
}

Result<std::vector<criu::MountSource>> DestinationPlace::tmpfs_sources() {
  std::vector<criu::MountSource> sources;
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) {
    const TmpfsMount& mount = description_.tmpfs[i];
    if (mount.read_only && ::mount(nullptr, tmpfs_path(i).c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      return fail_errno("make {} read-only", mount.mount_point);
    }
    sources.push_back({.mount_point = mount.mount_point, .path = tmpfs_path(i)});
    for (const auto& [mount_point, directory] : mount.parts) {
      sources.push_back({.mount_point = mount_point, .path = tmpfs_path(i) + directory});
    }
  }
  return sources;
}

Result<> DestinationPlace::unmount_tmpfs() {
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) {
    if (::umount2(tmpfs_path(i).c_str(), MNT_DETACH) != 0) return fail_errno("unmount {}", tmpfs_path(i));
  }
  return {};
}

}  // namespace godwit::agent
