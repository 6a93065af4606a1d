#include "criu/tcp_repair.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/unique_fd.h"
#include "os/procfs.h"
#include "os/subprocess.h"

namespace godwit::criu {
namespace {

constexpr int repair_off_without_probe = -1;  // TCP_REPAIR_OFF_NO_WP of linux/tcp.h

// Whether the socket was in repair mode; it no longer is.
bool end_repair(int socket) {
  int mode = 0;
  socklen_t size = sizeof mode;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &mode, &size) != 0 || mode == 0) return false;
  if (::setsockopt(socket, IPPROTO_TCP, TCP_REPAIR, &repair_off_without_probe, sizeof repair_off_without_probe) != 0)
    log_error("a TCP socket stays in repair mode: {}", std::strerror(errno));
  return true;
}

}  // namespace

Result<int> end_tcp_repair(const std::string& cgroup_directory) {
  GODWIT_ASSIGN(const std::vector<pid_t> processes, os::cgroup_processes(cgroup_directory));
  int count = 0;
  for (const pid_t pid : processes) {
    const auto process = os::open_pidfd(pid);
    if (!process) continue;
    const auto descriptors = os::read_descriptors(pid);
    if (!descriptors) continue;
    for (const os::Descriptor& descriptor : *descriptors) {
      if (!descriptor.target.starts_with("socket:")) continue;
      const UniqueFd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, process->get(), descriptor.number, 0)));
      if (copy && end_repair(copy.get())) ++count;
    }
  }
  return count;
}

}  // namespace godwit::criu
