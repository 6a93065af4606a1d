// Restoring a container so that runc owns it, stopped by its freezer cgroup until somebody thaws it.
//
// `runc restore` is started long before the freeze of the source. Instead of criu it finds our stand-in (godwit-criu),
// which gives runc's RPC socket to us and becomes a criu that listens to us: we stand between the two. So
//   - runc's start and criu's are over when the images come: run() only releases the request, with our options in it;
//   - we see every stage. At "pre-resume" everything is restored and every task is stopped by criu: now memory that
//     is not lazy is filled in (before_hold), the freezer cgroup is frozen, and criu lets go of the tasks, which
//     go from one stop into the other without running an instruction.
//
// The container never runs without whoever ordered it: until the hold, the death of criu, of runc or of this process
// kills it (see shim/shim.c); afterwards the cgroup holds it, and recovery decides.
#pragma once

#include <sys/types.h>

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "criu/container_mounts.h"
#include "criu/criu_program.h"
#include "criu/rpc.h"
#include "criu/stand_in.h"
#include "os/freezer.h"
#include "os/subprocess.h"

namespace godwit::criu {

// runc leaves the mount that it restores on: it sees one, but the root that was mounted meanwhile made it two.
void unmount_restore_root(const std::string& runc_root, const std::string& container_id);
// Removes all that runc has written down of a container that does not live. Can be repeated.
Result<> remove_runc_state(const std::string& runc_root, const std::string& container_id);
// After the death of a process that was in a Restore with that work directory: its runc notices by its socket, ends
// what was restored and clears up. Until that has ended nobody else can. At once if there was none.
Result<> wait_until_restore_ended(const std::string& work_dir, Deadline deadline);

struct RestorePlace {
  std::string container_id;
  std::string bundle;      // with a config.json that names a network namespace by path
  std::string images_dir;  // exists; where the images will be
  std::string work_dir;    // exists; private to this restore. LazyPagesSocket::listen() is for the same directory
  std::string runc_root;   // empty: runc's default
  std::string pid_file;    // written by runc; empty: none
  // The first process's descriptors 0, 1, 2 at the source, as the links in /proc/PID/fd say ("/dev/null", "pipe:[1]"):
  // pipes are replaced by the ones in `stdio`.
  std::vector<std::string> descriptors;
  std::vector<std::pair<int, int>> stdio;  // {ours, 0 to 2}; /dev/null where none is given
  // Has somebody else run runc, whose child the container's first process will be; empty: we do.
  std::function<Result<os::Subprocess>(const os::Command&)> start_runc;
  // The number that the first process must have, in our pid namespace; 0: any.
  pid_t init_pid = 0;
  // Called when criu waits for its request and is in the container's cgroups; and when that number must be free.
  std::function<Result<>(pid_t criu)> criu_waits;
  std::function<Result<>()> free_init_pid;
  // Beside its network, namespaces that the container is given, as paths; of the kinds that Dump::prepare() was told.
  std::vector<std::string> foreign;
};

struct RestoreReport {
  double restored_ms = 0;  // from run()'s start: everything restored and stopped
  double filled_ms = 0;    // before_hold returned
  double held_ms = 0;      // held by the freezer, criu has let go
};

// A restored container.
struct Restored {
  pid_t init_pid = 0;
  os::CgroupFreezer freezer;
  RestoreReport report;
};

// One restore. Owned by the destination worker; one thread. Destroying it before release() takes everything back, as
// discard() does.
class Restore {
 public:
  // Starts runc and returns when criu waits for its request. The images need not be there.
  static Result<std::unique_ptr<Restore>> prepare(const CriuProgram& criu, RestorePlace place, Deadline deadline);
  ~Restore();
  Restore(const Restore&) = delete;
  Restore& operator=(const Restore&) = delete;

  // Images and contents of files are in place; somebody serves the LazyPagesSocket from now on. `tmpfs`: the prepared
  // tmpfs for each such mount point of the container. `before_hold` is called with the first process's pid when every
  // process is complete and stopped; an error of it ends the restore. On success the container is held by its
  // freezer, and not one instruction of it has run. On an error nothing of it is left.
  Result<Restored> run(const std::vector<MountSource>& tmpfs, const std::function<Result<>(pid_t)>& before_hold,
                       Deadline deadline);

  // The one that waits; of this process' pid namespace.
  [[nodiscard]] pid_t criu_pid() const { return between_.criu_pid; }
  // After run(): waits until runc has written its state and ended. Not in the pause: it may be called after the thaw.
  Result<> finish(Deadline deadline);
  // After run(): the container is no longer ours to take back.
  void release() { released_ = true; }
  // Kills what was restored, ends runc, and has runc forget the container. Safe at any time; repeatable.
  Result<> discard(Deadline deadline);

 private:
  Restore(StandIn stand_in, RestorePlace place) : place_(std::move(place)), stand_in_(std::move(stand_in)) {}

  Result<> start_runc(Deadline deadline);
  Result<> wait_for_criu(Deadline deadline);
  Result<> release_request(const std::vector<MountSource>& tmpfs);
  Result<RestoreReport> converse(const std::function<Result<>(pid_t)>& before_hold, Deadline deadline);
  Result<> on_stage(const Response& notification);
  Result<> adopt_init(pid_t pid);
  Result<> hold(const std::function<Result<>(pid_t)>& before_hold, RestoreReport& report, Clock::time_point started);
  Result<> wait_frozen(Deadline deadline) const;
  Result<> kill_restored(Deadline deadline);
  [[nodiscard]] Error describe(Error error) const;
  [[nodiscard]] std::vector<std::string> runc_command() const;

  RestorePlace place_;
  StandIn stand_in_;
  std::optional<os::Subprocess> runc_;
  Intercepted between_;
  UniqueFd images_fd_;
  UniqueFd work_fd_;
  pid_t init_pid_ = 0;
  UniqueFd init_pidfd_;
  std::optional<os::CgroupFreezer> freezer_;
  std::future<Result<>> evicted_;  // criu has been moved out of the container's freezer cgroup
  bool released_ = false;
  bool discarded_ = false;
};

}  // namespace godwit::criu
