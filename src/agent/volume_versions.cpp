#include "agent/volume_versions.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "os/file.h"

namespace godwit::agent {
namespace {

constexpr const char* current = "..data";
constexpr size_t name_bytes_max = 255;
constexpr std::array<std::string_view, 4> written_by_kubelet{
    "/volumes/kubernetes.io~configmap/", "/volumes/kubernetes.io~secret/", "/volumes/kubernetes.io~projected/",
    "/volumes/kubernetes.io~downward-api/"};

bool is_written_by_kubelet(const std::string& volume) {
  return std::ranges::any_of(written_by_kubelet,
                             [&](std::string_view kind) { return volume.find(kind) != std::string::npos; });
}

}  // namespace

bool valid_version_name(const std::string& name) {
  return name.starts_with("..") && name.size() > 2 && name.size() <= name_bytes_max && name != current &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

// No other volume is looked into: one of another machine might not answer.
std::vector<VolumeVersion> volume_versions(const nlohmann::json& config, const std::vector<PodMount>& mounts,
                                           pid_t init_pid, uint32_t member) {
  std::set<std::string> of_kubelet;
  for (const nlohmann::json& mount : config.value("mounts", nlohmann::json::array())) {
    if (is_written_by_kubelet(mount.value("source", ""))) of_kubelet.insert(mount.value("destination", ""));
  }
  std::vector<VolumeVersion> versions;
  for (const PodMount& mount : mounts) {
    if (!of_kubelet.contains(mount.destination)) continue;
    const auto name = os::read_link(fmt::format("/proc/{}/root{}/{}", init_pid, mount.mount_point, current));
    if (!name || !valid_version_name(*name)) continue;
    versions.push_back({.member = member, .destination = mount.destination, .name = *name});
  }
  return versions;
}

Result<> alias_version(const std::string& volume, const std::string& name) {
  if (!is_written_by_kubelet(volume) || !os::read_link(volume + "/" + current)) return {};
  const std::string path = volume + "/" + name;
  if (::symlink(current, path.c_str()) == 0 || errno == EEXIST) return {};
  return fail_errno("make {}", path);
}

}  // namespace godwit::agent
