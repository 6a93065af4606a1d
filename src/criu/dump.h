// Saving everything of a container but the contents of its memory and files: `criu dump`, driven directly.
//
// The container is held by its freezer cgroup before, during and after: its owner freezes it, criu seizes the tasks,
// lifts the freeze (traced tasks stay stopped), dumps, and writes the freeze back before it lets them go. No
// instruction of the container runs in between. The owner thaws it, whether the dump succeeded or not.
//
// criu runs inside the container's network namespace, which is therefore none of its business: addresses, routes and
// conntrack entries are neither saved nor restored.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "criu/container_mounts.h"
#include "criu/criu_program.h"
#include "criu/smaps_cache.h"
#include "os/freezer.h"

namespace godwit::criu {

// A shared memory object, as stat(2) and /proc/PID/maps identify it.
struct SharedObjectId {
  uint64_t device = 0;
  uint64_t inode = 0;
};

struct DumpRequest {
  std::vector<ContainerMount> mounts;
  // May be null: then criu reads the flags of all mappings itself.
  const SmapsCache* smaps = nullptr;
  // Half-open TCP connections are left out instead of failing the dump. The other side of one that waits to be accepted
  // believes it to be open and gets a reset: better retry first.
  bool skip_half_open_tcp = false;
  uint32_t ghost_file_bytes_max = 256U << 20;  // an open file without a name travels in the images
};

struct DumpReport {
  double seized_ms = 0;   // all from run()'s start: every task traced
  double written_ms = 0;  // images complete
  double done_ms = 0;     // tasks back in the freezer, criu gone
  uint64_t image_bytes = 0;
  uint64_t page_bytes = 0;  // of those, contents of memory: a few pages
};

// After the death of a process that had a Dump with that work directory: its criu lets go of the tasks in good order
// and writes the freezer's state back, so whoever thaws them must come after it. At once if there was none.
Result<> wait_until_dump_ended(const std::string& work_dir, Deadline deadline);

// True if the error was a passing state of the container: thaw it, and try again a little later.
bool retryable(const Error& error);

// One dump. Made before the freeze, so that starting criu costs no pause. Owned by the source worker, one thread; of
// scanned() and not_scanned() one is called once, by any thread, before or during run().
class Dump {
 public:
  // `init_pid`: the container's first process. Both directories exist; the images directory is empty and in RAM.
  // `foreign`: namespaces of the container, as paths, that others carry over, like its network: criu runs in them.
  static Result<Dump> prepare(const CriuProgram& criu, pid_t init_pid, std::string images_dir, std::string work_dir,
                              Deadline deadline, const std::vector<std::string>& foreign = {});
  Dump(Dump&&) noexcept = default;
  Dump& operator=(Dump&&) noexcept = default;
  ~Dump();

  // The caller has found, and where the program writes code has also read, all changed memory. run() gets no further
  // than the inspection of the processes before: criu's parasite changes an executable page for a moment. `copied` is
  // the shared memory whose contents the caller carries over; criu saves the contents of all other itself.
  Result<> scanned(const std::vector<SharedObjectId>& copied);
  // It could not: run() fails.
  void not_scanned() { swrk_.scanned.reset(); }

  // The container must be frozen. `on_written` is called when the images are complete (they may be read then) and
  // criu has yet to let go of the tasks; may be empty. On success the container is frozen. On an error it is frozen or
  // running: thaw it; connections are usable again. The message says what in the container was in the way and ends with
  // the last lines of criu's log.
  Result<DumpReport> run(const DumpRequest& request, const os::CgroupFreezer& freezer, Deadline deadline,
                         const std::function<void()>& on_written = {});

 private:
  Dump(pid_t init_pid, std::string images_dir, std::string work_dir, Swrk swrk)
      : init_pid_(init_pid),
        images_dir_(std::move(images_dir)),
        work_dir_(std::move(work_dir)),
        swrk_(std::move(swrk)) {}
  Result<> send_request(const DumpRequest& request, const os::CgroupFreezer& freezer);
  Result<> converse(const os::CgroupFreezer& freezer, DumpReport& report, Clock::time_point started, Deadline deadline,
                    const std::function<void()>& on_written);
  [[nodiscard]] Error describe(Error error) const;
  void stop(const os::CgroupFreezer& freezer);

  pid_t init_pid_;
  std::string images_dir_;
  std::string work_dir_;
  Swrk swrk_;
  UniqueFd images_fd_;
  UniqueFd work_fd_;
};

}  // namespace godwit::criu
