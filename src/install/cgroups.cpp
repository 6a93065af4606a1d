#include "install/cgroups.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "os/file.h"

namespace godwit::install {
namespace {

constexpr const char* own_group = "/godwit";

Result<> enter(const std::string& directory) {
  // 0 is who writes.
  return os::write_file(directory + "/cgroup.procs", "0");
}

// What stands between the first colons: "", "cpu,cpuacct" or "name=systemd".
bool is_mount_of(const os::Mount& mount, const std::string& controllers) {
  if (controllers.empty()) return mount.type == "cgroup2";
  if (mount.type != "cgroup") return false;
  const std::string name = controllers.starts_with("name=") ? controllers.substr(5) : "";
  const auto named = mount.super_options.find("name");
  if (!name.empty()) return named != mount.super_options.end() && named->second == name;
  std::istringstream words(controllers);
  for (std::string word; std::getline(words, word, ',');) {
    if (!mount.super_options.contains(word)) return false;
  }
  return true;
}

Result<std::vector<CgroupPlace>> places_of(const std::string& process) {
  GODWIT_ASSIGN(const std::string text, os::read_file("/proc/" + process + "/cgroup"));
  GODWIT_ASSIGN(const std::vector<os::Mount> mounts, os::read_mounts(::getpid()));
  return cgroup_places(text, mounts);
}

}  // namespace

std::vector<CgroupPlace> cgroup_places(const std::string& text, const std::vector<os::Mount>& mounts) {
  std::vector<CgroupPlace> places;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const auto mount =
        std::ranges::find_if(mounts, [&](const os::Mount& one) { return is_mount_of(one, controllers); });
    if (mount == mounts.end()) continue;
    places.push_back(
        {.hierarchy = mount->mount_point, .path = line.substr(second + 1), .unified = controllers.empty()});
  }
  return places;
}

Result<> join_cgroups_of(pid_t pid) {
  GODWIT_ASSIGN(const std::vector<CgroupPlace> places, places_of(std::to_string(pid)));
  for (const CgroupPlace& place : places) GODWIT_TRY(enter(place.hierarchy + place.path));
  return {};
}

Result<> leave_pods_cgroups() {
  GODWIT_ASSIGN(const std::vector<CgroupPlace> places, places_of("self"));
  for (const CgroupPlace& place : places) {
    const std::string directory = place.hierarchy + (place.unified ? own_group : "");
    if (place.unified && ::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno("make {}", directory);
    }
    GODWIT_TRY(enter(directory));
  }
  return {};
}

void remove_own_cgroup() {
  for (const CgroupPlace& place : places_of("self").value_or(std::vector<CgroupPlace>{})) {
    if (place.unified) ::rmdir((place.hierarchy + own_group).c_str());
  }
}

}  // namespace godwit::install
