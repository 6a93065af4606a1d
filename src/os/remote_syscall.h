// Making another process run a system call, by ptrace, so shortly and exactly that it cannot notice: registers, signal
// mask, a system call in progress and pending signals are as before.
#pragma once

#include <sys/types.h>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

struct RemoteDescriptor {
  UniqueFd fd;
  double stopped_us = 0;  // how long one thread of the process was held
};

// Has a thread of `pid` call userfaultfd(UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK), takes the descriptor and closes
// it there. Only that thread is held (some 0.1 ms); the others run on. Works under seccomp filters.
//
// Errors, all with the process running on as before: EBUSY traced by another process; ETIMEDOUT no thread could be
// stopped by the deadline (uninterruptible sleep, frozen); EMFILE it has no free descriptor; ENOSYS its machine code is
// of a kind that we cannot call (32 bit); ESRCH it ended. `stopped_us`, if not null, is added to in every case.
Result<RemoteDescriptor> remote_userfaultfd(pid_t pid, Deadline deadline, double* stopped_us = nullptr);

}  // namespace godwit::os
