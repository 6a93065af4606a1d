#include "os/remote_syscall.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "os/priority.h"
#include "os/procfs.h"
#include "os/ptrace.h"
#include "os/subprocess.h"

namespace godwit::os {
namespace {

constexpr auto attempt_max = std::chrono::seconds(10);
// After the deadline of stopping a thread, how long to wait for one that is already stopped to be let go.
constexpr auto release_grace = std::chrono::seconds(2);

struct Outcome {
  Result<UniqueFd> fd = fail("not done");
  double stopped_us = 0;
};

Result<UniqueFd> take_descriptor(pid_t pid, int number) {
  GODWIT_ASSIGN(const UniqueFd process, open_pidfd(pid));
  UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process.get(), number, 0)));
  if (!fd) return fail_errno("take descriptor {} of process {}", number, pid);
  return fd;
}

Result<UniqueFd> call_userfaultfd(pid_t pid, HeldThread& thread) {
  GODWIT_ASSIGN(const int64_t number,
                thread.call(SYS_userfaultfd, {UFFD_USER_MODE_ONLY | O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0, 0}));
  if (number < 0) {
    errno = static_cast<int>(-number);
    return fail_errno("userfaultfd() in process {}", pid);
  }
  auto fd = take_descriptor(pid, static_cast<int>(number));
  // The tracking goes on as long as we hold our copy.
  GODWIT_ASSIGN(const int64_t closed, thread.call(SYS_close, {static_cast<uint64_t>(number), 0, 0, 0, 0, 0}));
  if (closed != 0) return fail("close() in process {} returned {}", pid, closed);
  return fd;
}

// The threads of a process, those first that a stop reaches at once: the leader may have ended before the others, and
// one in an uninterruptible sleep stops when that is over.
Result<std::vector<pid_t>> threads_to_try(pid_t pid) {
  GODWIT_ASSIGN(std::vector<pid_t> threads, read_threads(pid));
  constexpr size_t tried_max = 8;
  std::vector<pid_t> usable;
  for (const pid_t tid : threads) {
    const auto status = read_status(tid);
    if (status.has_value() && status->state != 'Z' && status->state != 'X' && status->state != 'D') {
      usable.push_back(tid);
    }
    if (usable.size() == tried_max) break;
  }
  if (!usable.empty()) return usable;
  GODWIT_ASSIGN(const ProcessStatus leader, read_status(pid));
  if (leader.state != 'D') return std::unexpected(Error{fmt::format("process {} has ended", pid), ESRCH});
  return std::unexpected(
      Error{fmt::format("process {} is in an uninterruptible sleep (waiting for a disk or for a vfork child)", pid),
            ETIMEDOUT});
}

Outcome hold_and_call(pid_t pid, pid_t tid, uint64_t syscall_address, Deadline deadline) {
  Outcome outcome;
  Clock::time_point since;
  const PriorityBoost boost(0, 1);
  {
    auto thread = HeldThread::hold(pid, tid, syscall_address, deadline);
    if (!thread.has_value()) {
      outcome.fd = std::unexpected(std::move(thread).error());
      return outcome;
    }
    since = thread->since();
    outcome.fd = call_userfaultfd(pid, *thread);
  }
  outcome.stopped_us = elapsed_ms(since) * 1000;
  return outcome;
}

}  // namespace

Result<RemoteDescriptor> remote_userfaultfd(pid_t pid, Deadline deadline, double* stopped_us) {
  GODWIT_ASSIGN(const uint64_t syscall_address, find_syscall(pid));
  GODWIT_ASSIGN(const std::vector<pid_t> threads, threads_to_try(pid));
  deadline = deadline.sooner(Deadline::after(attempt_max));
  for (size_t i = 0;; ++i) {
    // Each thread gets a share of the time, so that one that cannot be stopped leaves some to the next.
    const auto left = deadline.when() - Clock::now();
    const Deadline share = Deadline::after(left / static_cast<int>(threads.size() - i)).sooner(deadline);
    // In a thread of its own: one that traces another can let go of it without its stopping only by ending.
    std::promise<Outcome> promise;
    std::future<Outcome> future = promise.get_future();
    std::thread([promise = std::move(promise), pid, tid = threads[i], syscall_address, share]() mutable {
      promise.set_value_at_thread_exit(hold_and_call(pid, tid, syscall_address, share));
    }).detach();
    if (future.wait_until(share.when() + release_grace) != std::future_status::ready) {
      return std::unexpected(Error{fmt::format("process {} was frozen while it was held", pid), ETIMEDOUT});
    }
    Outcome outcome = future.get();
    if (stopped_us != nullptr) *stopped_us += outcome.stopped_us;
    if (outcome.fd.has_value()) return RemoteDescriptor{std::move(*outcome.fd), outcome.stopped_us};
    const bool next = outcome.fd.error().code == ETIMEDOUT || outcome.fd.error().code == ESRCH;
    if (!next || i + 1 == threads.size()) return std::unexpected(std::move(outcome.fd).error());
  }
}

}  // namespace godwit::os
