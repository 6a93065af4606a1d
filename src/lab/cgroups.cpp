#include "lab/cgroups.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ranges>
#include <sstream>
#include <thread>

#include "os/file.h"

namespace godwit::lab {
namespace {

// Only what says which hierarchy it is; "rw", "xattr", "release_agent=..." and the like are not repeated.
std::string hierarchy_options(const std::string& super_options) {
  static constexpr std::string_view noise[] = {"rw", "ro", "xattr", "noprefix", "clone_children", "nsdelegate"};
  std::string kept;
  std::istringstream words(super_options);
  for (std::string word; std::getline(words, word, ',');) {
    if (std::ranges::find(noise, word) != std::end(noise) || word.starts_with("release_agent=")) continue;
    // A hierarchy without a controller has a name, and "none" in place of the controller.
    if (word.starts_with("name=") && kept.empty()) kept = "none";
    kept += (kept.empty() ? "" : ",") + word;
  }
  return kept;
}

// The subtree, parents before children.
std::vector<std::string> directories_of(const std::string& top) {
  std::vector<std::string> found;
  if (!os::exists(top)) return found;
  found.push_back(top);
  for (size_t i = 0; i < found.size(); ++i) {
    DIR* directory = ::opendir(found[i].c_str());
    if (directory == nullptr) continue;
    while (const dirent* entry = ::readdir(directory)) {
      const std::string name = entry->d_name;
      if (entry->d_type == DT_DIR && name != "." && name != "..") found.push_back(found[i] + "/" + name);
    }
    ::closedir(directory);
  }
  return found;
}

// A new cpuset takes no process until it has processors and memory nodes of its own.
Result<> inherit_cpuset(const std::string& parent, const std::string& directory) {
  for (const char* file : {"/cpuset.cpus", "/cpuset.mems"}) {
    if (!os::exists(directory + file)) continue;
    GODWIT_ASSIGN(const std::string value, os::read_file(parent + file));
    GODWIT_TRY(os::write_file(directory + file, value));
  }
  return {};
}

// Version 2: what the parent has, the children shall have. Some controllers may refuse (no permission, threaded
// subtree); a node then runs without them.
void pass_controllers_on(const std::string& directory) {
  const auto controllers = os::read_file(directory + "/cgroup.controllers");
  if (!controllers) return;
  std::istringstream words(*controllers);
  for (std::string word; words >> word;) {
    (void)os::write_file(directory + "/cgroup.subtree_control", "+" + word);
  }
}

Result<> create_in(const Hierarchy& hierarchy, const std::string& path) {
  std::string directory = hierarchy.mount_point;
  std::istringstream parts(path);
  for (std::string part; std::getline(parts, part, '/');) {
    const std::string parent = directory;
    directory += "/" + part;
    if (hierarchy.version_2) pass_controllers_on(parent);
    if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
      return fail_errno("make cgroup {} (a lab needs root and writable cgroup hierarchies)", directory);
    }
    if (!hierarchy.version_2) GODWIT_TRY(inherit_cpuset(parent, directory));
  }
  return {};
}

bool has_freezer(const Hierarchy& hierarchy) {
  return hierarchy.version_2 || hierarchy.mount_options == "freezer" || hierarchy.mount_options.contains("freezer,") ||
         hierarchy.mount_options.contains(",freezer");
}

}  // namespace

std::vector<Hierarchy> parse_hierarchies(const std::string& mountinfo) {
  std::vector<Hierarchy> found;
  std::istringstream lines(mountinfo);
  for (std::string line; std::getline(lines, line);) {
    // "id parent major:minor root mount-point options [optional...] - type source super-options", see proc(5).
    const size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream before(line.substr(0, separator));
    std::istringstream after(line.substr(separator + 3));
    std::string id;
    std::string parent;
    std::string device;
    std::string root;
    Hierarchy hierarchy;
    std::string type;
    std::string source;
    std::string options;
    before >> id >> parent >> device >> root >> hierarchy.mount_point;
    after >> type >> source >> options;
    hierarchy.version_2 = type == "cgroup2";
    if (type != "cgroup" && !hierarchy.version_2) continue;
    if (!hierarchy.version_2) hierarchy.mount_options = hierarchy_options(options);
    const bool known = std::ranges::any_of(found, [&](const Hierarchy& other) {
      return other.version_2 == hierarchy.version_2 && other.mount_options == hierarchy.mount_options;
    });
    if (!known) found.push_back(std::move(hierarchy));
  }
  return found;
}

Result<std::vector<Hierarchy>> find_hierarchies() {
  GODWIT_ASSIGN(const std::string mountinfo, os::read_file("/proc/self/mountinfo"));
  std::vector<Hierarchy> found = parse_hierarchies(mountinfo);
  if (found.empty()) return fail("no cgroup hierarchy is mounted here; mount one, e.g. at /sys/fs/cgroup");
  return found;
}

Result<> create_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path) {
  for (const Hierarchy& hierarchy : hierarchies) GODWIT_TRY(create_in(hierarchy, path));
  return {};
}

Result<std::vector<UniqueFd>> open_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path) {
  std::vector<UniqueFd> opened;
  for (const Hierarchy& hierarchy : hierarchies) {
    const std::string file = fmt::format("{}/{}/cgroup.procs", hierarchy.mount_point, path);
    GODWIT_ASSIGN(UniqueFd fd, os::open_file(file, O_WRONLY));
    opened.push_back(std::move(fd));
  }
  return opened;
}

bool join_cgroup(const std::vector<UniqueFd>& cgroup) {
  return std::ranges::all_of(cgroup, [](const UniqueFd& fd) { return ::write(fd.get(), "0", 1) == 1; });
}

void thaw_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path) {
  for (const Hierarchy& hierarchy : hierarchies) {
    if (!has_freezer(hierarchy)) continue;
    for (const std::string& directory : directories_of(hierarchy.mount_point + "/" + path)) {
      // It may vanish at any moment, and a version 2 hierarchy may have no freezer: the caller looks at the processes.
      (void)os::write_file(directory + (hierarchy.version_2 ? "/cgroup.freeze" : "/freezer.state"),
                           hierarchy.version_2 ? "0" : "THAWED");
    }
  }
}

std::vector<pid_t> processes_of_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path) {
  std::vector<pid_t> pids;
  for (const Hierarchy& hierarchy : hierarchies) {
    for (const std::string& directory : directories_of(hierarchy.mount_point + "/" + path)) {
      const auto text = os::read_file(directory + "/cgroup.procs");
      if (!text) continue;
      std::istringstream lines(*text);
      // 0: a process of a pid namespace that we cannot see.
      for (pid_t pid = 0; lines >> pid;) {
        if (pid > 0) pids.push_back(pid);
      }
    }
  }
  std::ranges::sort(pids);
  pids.erase(std::ranges::unique(pids).begin(), pids.end());
  return pids;
}

Result<> destroy_cgroup(const std::vector<Hierarchy>& hierarchies, const std::string& path, Deadline deadline) {
  for (;;) {
    thaw_cgroup(hierarchies, path);
    const std::vector<pid_t> pids = processes_of_cgroup(hierarchies, path);
    for (const pid_t pid : pids) ::kill(pid, SIGKILL);
    std::string busy;
    for (const Hierarchy& hierarchy : hierarchies) {
      std::vector<std::string> directories = directories_of(hierarchy.mount_point + "/" + path);
      for (const std::string& directory : directories | std::views::reverse) {
        if (::rmdir(directory.c_str()) != 0 && errno != ENOENT) busy = directory;
      }
    }
    if (busy.empty()) return {};
    if (deadline.expired()) return fail("cgroup {} could not be removed: {} processes are in it", busy, pids.size());
    std::this_thread::sleep_for(milliseconds(5));
  }
}

}  // namespace godwit::lab
