// The socket on which criu hands over the userfaultfds of what it restores with lazy memory: it takes the place of
// `criu lazy-pages`.
//
// For each process criu sends its pid (in the container's pid namespace) and a userfaultfd BEFORE its mappings are
// moved to their places and registered. From then on the process faults on its lazy memory while it is still being put
// together, long before "pre-resume", so faults must be served at once; but a page may be pushed unasked only after
// criu has said that it was the last process: until then its mapping may not be there, and the kernel's ENOENT means
// nothing.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::criu {

struct LazyProcess {
  pid_t container_pid = 0;
  UniqueFd userfaultfd;  // for missing pages of what is lazy; with events for fork, remap, unmap and remove
};

// Owned by the destination worker; used by one thread.
class LazyPagesSocket {
 public:
  // In the restore's work directory; criu connects when it gets its request.
  static Result<LazyPagesSocket> listen(const std::string& work_directory);

  // The next process; nullopt when criu says that it was the last. Errors: the deadline's passing, and code EPIPE if
  // criu went away without a word.
  Result<std::optional<LazyProcess>> next(Deadline deadline);

  // To wait on together with other descriptors: readable when next() has something to do.
  [[nodiscard]] int fd() const { return connection_ ? connection_.get() : listener_.get(); }

 private:
  explicit LazyPagesSocket(UniqueFd listener) : listener_(std::move(listener)) {}
  Result<> accept(Deadline deadline);
  UniqueFd listener_;
  UniqueFd connection_;
};

}  // namespace godwit::criu
