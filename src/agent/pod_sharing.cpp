#include "agent/pod_sharing.h"

#include <fcntl.h>
#include <sched.h>

#include <algorithm>
#include <thread>

#include "os/file.h"

namespace godwit::agent {
namespace {

// What of it there is, in the namespace of the calling thread. Each file has a line of headings.
Result<std::string> list_ipc_objects() {
  std::string found;
  for (const char* kind : {"shm", "sem", "msg"}) {
    GODWIT_ASSIGN(const std::string text, os::read_file(fmt::format("/proc/sysvipc/{}", kind)));
    const auto objects = std::ranges::count(text, '\n') - 1;
    if (objects > 0) found += fmt::format("{}{} of kind {}", found.empty() ? "" : ", ", objects, kind);
  }
  return found;
}

}  // namespace

std::vector<std::string> shared_namespaces(pid_t init_pid) {
  return {fmt::format("/proc/{}/ns/ipc", init_pid), fmt::format("/proc/{}/ns/uts", init_pid)};
}

Result<> check_no_ipc_objects(pid_t init_pid) {
  GODWIT_ASSIGN(const UniqueFd space, os::open_file(fmt::format("/proc/{}/ns/ipc", init_pid), O_RDONLY));
  Result<std::string> found;
  // Only a thread of its own can enter it and be rid of it again.
  std::thread([&] {
    found = ::setns(space.get(), CLONE_NEWIPC) == 0 ? list_ipc_objects() : fail_errno("enter the pod's IPC namespace");
  }).join();
  if (!found) return std::unexpected(std::move(found.error()));
  if (found->empty()) return {};
  return fail("its containers share System V IPC objects ({}), which cannot go along yet; see ipcs in a container",
              *found);
}

}  // namespace godwit::agent
