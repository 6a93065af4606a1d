#include "agent/container_lock.h"

#include <cerrno>

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
  auto lock = os::lock_file(directory + "/" + name, deadline);
  if (!lock && lock.error().code == EWOULDBLOCK) {
    lock.error().message =
        fmt::format("container '{}' takes part in another migration on this node (godwit sessions)", name);
  }
  return lock;
}

}  // namespace godwit::agent
