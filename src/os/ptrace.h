// Holding one thread of another process still, by ptrace, and having it run system calls.
//
// The thread must not notice. What that takes (kernel/signal.c, ptrace(2)):
// - It is stopped by PTRACE_INTERRUPT, never by a signal.
// - A system call in progress has been interrupted by the stop and its registers ask the kernel to restart it
//   (-ERESTART*). The kernel honours that only on the way out of its signal handling, so the saved registers are put
//   back while the thread is in such a stop (PTRACE_EVENT_STOP) and not in a system call's exit stop.
// - Some calls (epoll_wait, ...) cannot be restarted by the kernel and would return EINTR: we restart those.
// - Signals that arrive meanwhile stay pending: all are blocked, and the mask put back at the end.
// - A thread in the middle of a restartable sequence (rseq(2)) is sent to its abort handler, as after any preemption.
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/deadline.h"
#include "base/result.h"
#include "os/priority.h"

namespace godwit::os {

// One thread held still. All of it belongs to the thread that seized it: ptrace works only from there. If that thread
// ends before hold() has returned, the kernel lets the other go untouched.
class HeldThread {
 public:
  // Stops `tid` of process `pid`. `syscall_address`: a system call instruction in its memory, see find_syscall().
  // Errors: EBUSY traced by another; ETIMEDOUT did not stop in time (the caller's thread must end, to let go of it);
  // ENOSYS we cannot make calls in it; ESRCH ended.
  static Result<HeldThread> hold(pid_t pid, pid_t tid, uint64_t syscall_address, Deadline deadline);
  HeldThread(HeldThread&& other) noexcept;
  HeldThread& operator=(HeldThread&&) = delete;
  // Puts everything back and lets it go. Never gives up before that is done or the thread has ended: one that runs on
  // with our registers would crash.
  ~HeldThread();

  // Runs a system call there; the value that it returned (negative: an errno). An error: the thread has ended or
  // stopped in a way that we did not ask for, and the call may not have run.
  Result<int64_t> call(int64_t number, std::array<uint64_t, 6> arguments);

  [[nodiscard]] pid_t tid() const { return tid_; }
  [[nodiscard]] Clock::time_point since() const { return since_; }

 private:
  HeldThread(pid_t pid, pid_t tid, uint64_t syscall_address, Clock::time_point since,
             std::unique_ptr<PriorityBoost> boost)
      : pid_(pid), tid_(tid), syscall_address_(syscall_address), since_(since), boost_(std::move(boost)) {}
  Result<> save();
  void restore();
  [[nodiscard]] bool signal_awaits() const;

  pid_t pid_;
  pid_t tid_;  // -1: moved from, or ended
  uint64_t syscall_address_;
  Clock::time_point since_;
  user_regs_struct saved_{};
  uint64_t saved_mask_ = 0;
  bool changed_ = false;  // its registers and mask are ours
  std::unique_ptr<PriorityBoost> boost_;
};

// The address of a system call instruction in executable memory of the process.
Result<uint64_t> find_syscall(pid_t pid);

// What differs between processor architectures: ptrace_x86_64.cpp; another one needs its own file.
namespace arch {

// Registers that run system call `number` at `address` next, and restart nothing.
user_regs_struct call_registers(const user_regs_struct& saved, uint64_t address, int64_t number,
                                const std::array<uint64_t, 6>& arguments);
int64_t call_result(const user_regs_struct& registers);
// Whether these registers are those of a program that we can make calls in (not 32-bit code).
bool can_call(const user_regs_struct& registers);
// A system call in progress that our stop made return EINTR although no signal asked for it, and that can simply be
// made again: the registers that do so.
std::optional<user_regs_struct> retry_interrupted(const user_regs_struct& saved);
bool in_syscall(const user_regs_struct& registers);
uint64_t program_counter(const user_regs_struct& registers);
void set_program_counter(user_regs_struct& registers, uint64_t address);
extern const std::array<uint8_t, 2> syscall_instruction;

}  // namespace arch

}  // namespace godwit::os
