#include "agent/standard_streams.h"

#include <sys/stat.h>

#include <map>

#include "os/file.h"
#include "os/procfs.h"

namespace godwit::agent {
namespace {

std::string descriptor_link(pid_t pid, int number) {
  return fmt::format("/proc/{}/fd/{}", pid, number);
}

// S_IRUSR and S_IWUSR: what the descriptor is open for, as its link's mode says; 0 if it is gone.
mode_t open_for(pid_t pid, int number) {
  struct stat link{};
  if (::lstat(descriptor_link(pid, number).c_str(), &link) != 0) return 0;
  return link.st_mode & (S_IRUSR | S_IWUSR);
}

// Of each pipe that the container's processes have open: for what, all of them together.
Result<std::map<std::string, mode_t>> pipes_of(const std::string& cgroup_directory) {
  std::map<std::string, mode_t> pipes;
  GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(cgroup_directory));
  for (const pid_t pid : pids) {
    const auto descriptors = os::read_descriptors(pid);
    if (!descriptors) continue;  // it has ended
    for (const os::Descriptor& descriptor : *descriptors) {
      if (descriptor.target.starts_with("pipe:")) pipes[descriptor.target] |= open_for(pid, descriptor.number);
    }
  }
  return pipes;
}

}  // namespace

Result<std::vector<std::string>> standard_streams(pid_t init_pid, const std::string& cgroup_directory) {
  GODWIT_ASSIGN(const auto pipes, pipes_of(cgroup_directory));
  std::vector<std::string> streams;
  for (int number = 0; number < 3; ++number) {
    GODWIT_ASSIGN(std::string target, os::read_link(descriptor_link(init_pid, number)));
    const auto pipe = pipes.find(target);
    const bool own = pipe != pipes.end() && pipe->second == (S_IRUSR | S_IWUSR);
    streams.push_back(own ? own_pipe : std::move(target));
  }
  return streams;
}

}  // namespace godwit::agent
