// What a lab could leave behind on the machine, looked for without asking the lab itself.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/deadline.h"
#include "lab/lab.h"
#include "lab/layout.h"
#include "os/file.h"

namespace godwit::lab {

#define SKIP_WITHOUT_ROOT() \
  if (::geteuid() != 0) GTEST_SKIP() << "a lab needs root"

using std::chrono::seconds;

inline Deadline soon() {
  return Deadline::after(seconds(15));
}

// The namespaces of a running lab's places, as /proc names them.
inline std::vector<std::string> namespaces_of(const Lab& lab) {
  std::vector<std::string> found;
  for (const pid_t pid : lab.state().places) {
    for (const char* type : {"net", "mnt", "pid", "ipc", "uts", "cgroup"}) {
      auto link = os::read_link(fmt::format("/proc/{}/ns/{}", pid, type));
      if (link) found.push_back(*link);
    }
  }
  return found;
}

inline std::vector<std::string> children_of(const std::string& directory) {
  return os::list_directory(directory).value_or(std::vector<std::string>{});
}

// Processes in, or descriptors of this process to, one of `namespaces`; cgroups, folders and mounts named after the
// lab.
inline std::vector<std::string> traces_of(const std::string& name, const std::vector<std::string>& namespaces) {
  std::vector<std::string> found;
  const auto is_ours = [&](const Result<std::string>& link) {
    return link.has_value() && std::ranges::find(namespaces, *link) != namespaces.end();
  };
  for (const std::string& pid : children_of("/proc")) {
    for (const std::string& type : children_of("/proc/" + pid + "/ns")) {
      if (is_ours(os::read_link("/proc/" + pid + "/ns/" + type))) found.push_back("process " + pid + " in a " + type);
    }
  }
  for (const std::string& fd : children_of("/proc/self/fd")) {
    if (is_ours(os::read_link("/proc/self/fd/" + fd))) found.push_back("descriptor " + fd);
  }
  for (const std::string& hierarchy : children_of("/sys/fs/cgroup")) {
    for (const std::string& group : children_of("/sys/fs/cgroup/" + hierarchy)) {
      if (group.ends_with("godwit-lab-" + name)) found.push_back("cgroup " + hierarchy + "/" + group);
    }
  }
  if (os::exists("/sys/fs/cgroup/godwit-lab-" + name)) found.emplace_back("cgroup");
  if (os::exists(std::string(state_root) + "/" + name)) found.emplace_back("state folder");
  const auto mounts = os::read_file("/proc/self/mountinfo");
  if (!mounts || mounts->contains("/" + name + "/stage")) found.emplace_back("mounts");
  return found;
}

// Waits until nothing is left; what is still there when the time is over.
inline std::vector<std::string> traces_after(Deadline deadline, const std::string& name,
                                             const std::vector<std::string>& namespaces) {
  for (;;) {
    std::vector<std::string> found = traces_of(name, namespaces);
    if (found.empty() || deadline.expired()) return found;
    std::this_thread::sleep_for(milliseconds(20));
  }
}

}  // namespace godwit::lab
