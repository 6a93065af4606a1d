// The number of a container's first process, told to its container engine before the container has arrived.
//
// A kubelet makes a pod's containers one after another: each must have been created and started before the next one is.
// And it waits two minutes for each. So a container of a pod with several, or one that takes long to arrive, is there,
// for its engine, before it can be: the number that `create` leaves belongs to a placeholder, which only waits in the
// container's cgroup. When the container arrives the placeholder ends unnoticed and criu makes the first process with
// the very same number. The engine's shim reaps what its descendants leave behind: it would take the end of a child of
// its own for the container's. So the placeholder is the child of a keeper, which reaps it. And if nothing arrives, the
// keeper goes first: then the placeholder, made once more if need be, becomes the shim's child and dies, which is how
// the engine learns that its container has ended.
//
//   shim --- godwit-runc create (ends) --- keeper --- placeholder       the worker speaks to the keeper
//     '----- runc restore --- criu
//              '------------- the container's first process; the shim's child when runc has ended
#pragma once

#include <sys/types.h>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::agent {

// Of a placeholder and its keeper, in the pid namespace of whoever made them.
struct KeptPid {
  pid_t placeholder = 0;
  pid_t keeper = 0;
  UniqueFd connection;  // to the keeper; while it is open anywhere, it keeps
};

// Makes both, in a program with one thread. They outlive it.
Result<KeptPid> keep_pid();

// The worker's end. Destroying it before done() ends the placeholder, and with it the container for its engine.
class PidKeeper {
 public:
  explicit PidKeeper(KeptPid kept) : kept_(std::move(kept)) {}
  [[nodiscard]] pid_t pid() const { return kept_.placeholder; }
  [[nodiscard]] pid_t keeper_pid() const { return kept_.keeper; }
  // Puts the placeholder where the container will be, so that the engine measures the right cgroup.
  [[nodiscard]] Result<> join_cgroups_of(pid_t pid) const;
  // The number is free when this returns. Fails if the engine has ended the placeholder.
  Result<> free_pid(Deadline deadline);
  // The container has it.
  void done();

 private:
  KeptPid kept_;
};

}  // namespace godwit::agent
