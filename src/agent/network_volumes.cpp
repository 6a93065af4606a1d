#include "agent/network_volumes.h"

#include <fcntl.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <set>

#include "base/unique_fd.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

constexpr std::array<std::string_view, 12> network_types{"nfs", "nfs4",   "cifs", "smb3",  "ceph", "fuse",
                                                         "9p",  "lustre", "afs",  "ocfs2", "gfs2", "virtiofs"};

// What to put before a command, so that it runs as that process' user; nothing if that is not known.
std::optional<std::vector<std::string>> as_user_of(pid_t pid) {
  const auto status = os::read_file(fmt::format("/proc/{}/status", pid));
  unsigned int user = 0;
  unsigned int group = 0;
  if (!status) return std::nullopt;
  const size_t users = status->find("\nUid:");
  const size_t groups = status->find("\nGid:");
  if (users == std::string::npos || std::sscanf(status->c_str() + users, "\nUid: %*u %u", &user) != 1 ||
      groups == std::string::npos || std::sscanf(status->c_str() + groups, "\nGid: %*u %u", &group) != 1) {
    return std::nullopt;
  }
  return std::vector<std::string>{"setpriv", fmt::format("--reuid={}", user), fmt::format("--regid={}", group),
                                  "--clear-groups"};
}

// By a program, which is left behind if it does not end: a server that does not answer must not keep the thread that is
// to thaw the container. `words`: what comes before the program's name.
Result<> sync(const NetworkVolume& volume, std::vector<std::string> words, Deadline deadline) {
  const UniqueFd directory(::open(volume.path.c_str(), O_PATH | O_CLOEXEC));
  if (!directory) return fail_errno("open {}", volume.path);
  GODWIT_ASSIGN(const UniqueFd output, os::file_in_memory(""));
  words.insert(words.end(), {"sync", "-f", "/proc/self/fd/3"});
  GODWIT_ASSIGN(os::Subprocess program,
                os::Subprocess::start(
                    {.argv = words, .descriptors = {{output.get(), 1}, {output.get(), 2}, {directory.get(), 3}}}));
  const auto status = program.wait(deadline);
  if (!status) {
    ::kill(program.pid(), SIGKILL);  // it may heed that when the server answers
    program.detach();
    return fail("{} does not answer", volume.path);
  }
  if (*status == 0) return {};
  return fail("{} cannot be written out: {}", volume.path,
              os::read_file(fmt::format("/proc/self/fd/{}", output.get())).value_or(""));
}

}  // namespace

bool is_network_file_system(std::string_view type) {
  return std::ranges::find(network_types, type.substr(0, type.find('.'))) != network_types.end();
}

std::vector<NetworkVolume> network_volumes(const std::vector<SourceContainer>& containers) {
  std::vector<NetworkVolume> volumes;
  std::set<std::string> devices;
  for (const SourceContainer& container : containers) {
    for (const auto& [kind, mount] : container.mounts) {
      if (kind != criu::MountKind::bind || !is_network_file_system(mount.type)) continue;
      if (!devices.insert(mount.device).second) continue;
      volumes.push_back({.path = fmt::format("/proc/{}/root{}", container.init_pid, mount.mount_point),
                         .init_pid = container.init_pid});
    }
  }
  return volumes;
}

Result<> write_out(const std::vector<NetworkVolume>& volumes, Deadline deadline) {
  for (const NetworkVolume& volume : volumes) {
    // The server may not let root in; the container's own user has business there.
    auto written = sync(volume, {}, deadline);
    if (!written && !deadline.expired()) {
      if (auto words = as_user_of(volume.init_pid)) written = sync(volume, std::move(*words), deadline);
    }
    if (!written) return std::unexpected(std::move(written.error()).context("what was written to a volume"));
  }
  return {};
}

}  // namespace godwit::agent
