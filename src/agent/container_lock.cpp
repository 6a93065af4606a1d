#include "agent/container_lock.h"

#include <fcntl.h>
#include <sys/file.h>

#include <thread>

#include "agent/container_description.h"
#include "agent/session_directory.h"
#include "os/file.h"

namespace godwit::agent {

Result<UniqueFd> lock_container(const std::string& name, Deadline deadline) {
  if (!valid_container_name(name)) return fail("'{}' is not a container name", name);
  const std::string directory = SessionDirectory::root() + "/../names";
  GODWIT_TRY(os::make_directories(SessionDirectory::root()));
  GODWIT_TRY(os::make_directories(directory));
  // Never removed: who waits for it must wait for the same file as who comes later.
  GODWIT_ASSIGN(UniqueFd fd, os::open_file(directory + "/" + name, O_RDWR | O_CREAT, 0600));
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return fail_errno("lock the container name {}", name);
    if (deadline.expired()) {
      return std::unexpected(
          Error{fmt::format("container '{}' takes part in another migration on this node (godwit sessions)", name),
                EWOULDBLOCK});
    }
    std::this_thread::sleep_for(milliseconds(20));
  }
  return fd;
}

}  // namespace godwit::agent
