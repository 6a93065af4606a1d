#include "os/ptrace.h"

#include <sched.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <thread>
#include <utility>
#include <vector>

#include "os/process_memory.h"
#include "os/procfs.h"

namespace godwit::os {
namespace {

// Newer than the C library's sys/ptrace.h.
constexpr int request_rseq_configuration = 0x420f;
constexpr int request_syscall_user_dispatch = 0x4211;

struct RseqConfiguration {  // struct ptrace_rseq_configuration
  uint64_t area;
  uint32_t area_size;
  uint32_t signature;
  uint32_t flags;
  uint32_t pad;
};
struct RseqSequence {  // struct rseq_cs
  uint32_t version;
  uint32_t flags;
  uint64_t start;
  uint64_t length;
  uint64_t abort;
};
struct UserDispatch {  // struct ptrace_sud_config
  uint64_t mode;
  uint64_t selector;
  uint64_t offset;
  uint64_t length;
};

long trace(int request, pid_t tid, uint64_t address, const void* data) {
  // The C library's prototype wants an enumeration for the request and a pointer for the address.
  return ::syscall(SYS_ptrace, request, tid, address, data);
}

std::unexpected<Error> ended(pid_t tid) {
  return std::unexpected(Error{fmt::format("thread {} has ended", tid), ESRCH});
}

// How a thread stopped.
struct Stop {
  int signal = 0;
  int event = 0;
  bool at_syscall = false;
  // By PTRACE_INTERRUPT, or stopped by a stop signal: both in the kernel's signal handling.
  [[nodiscard]] bool interrupted() const { return event == PTRACE_EVENT_STOP; }
};

Result<Stop> parse_stop(pid_t tid, int status) {
  if (!WIFSTOPPED(status)) return ended(tid);
  const int signal = WSTOPSIG(status);
  return Stop{.signal = signal & 0x7f, .event = status >> 16, .at_syscall = signal == (SIGTRAP | 0x80)};
}

// Waits until the thread stops. At first without sleeping: being woken takes longer than a stop does, and the thread is
// held meanwhile. Yielding lets it run if it shares our processor.
Result<Stop> wait_stop(pid_t tid, Deadline deadline) {
  const auto patient_from = Clock::now() + std::chrono::microseconds(300);
  for (;;) {
    int status = 0;
    const pid_t got = ::waitpid(tid, &status, __WALL | WNOHANG);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ended(tid);  // ECHILD: an exec in another thread took its id
    if (got > 0) return parse_stop(tid, status);
    if (deadline.expired()) {
      return std::unexpected(Error{
          fmt::format("thread {} did not stop in time: it is in an uninterruptible sleep, or frozen", tid), ETIMEDOUT});
    }
    if (Clock::now() < patient_from) {
      ::sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }
}

Result<> seize(pid_t pid, pid_t tid) {
  GODWIT_ASSIGN(const ProcessStatus status, read_status(tid));
  uint64_t options = PTRACE_O_TRACESYSGOOD;
  // Under a filter our call could be refused, or kill the process.
  if (status.seccomp != 0) options |= PTRACE_O_SUSPEND_SECCOMP;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): an integer argument by ptrace's design
  if (trace(PTRACE_SEIZE, tid, 0, reinterpret_cast<void*>(options)) == 0) return {};
  if (errno == ESRCH) return ended(tid);
  const int code = errno;
  const auto again = read_status(tid);
  if (again.has_value() && again->tracer != 0) {
    return std::unexpected(
        Error{fmt::format("process {} is traced by process {}: end the debugger or tracer first", pid, again->tracer),
              EBUSY});
  }
  errno = code;
  return fail_errno("trace thread {}{}", tid, status.seccomp != 0 ? ", which has a seccomp filter" : "");
}

bool dispatches_syscalls(pid_t tid) {
  UserDispatch config{};
  return trace(request_syscall_user_dispatch, tid, sizeof(config), &config) == 0 && config.mode != 0;
}

// A thread that was stopped inside a restartable sequence would find it committed half: the kernel aborts a sequence
// only if the program counter lies in it when the thread is resumed, which we have moved by then. So abort it here.
void abort_restartable_sequence(pid_t pid, pid_t tid, user_regs_struct& registers) {
  RseqConfiguration config{};
  if (trace(request_rseq_configuration, tid, sizeof(config), &config) <= 0 || config.area == 0) return;
  constexpr uint64_t sequence_offset = 8;  // of rseq_cs in struct rseq
  uint64_t pointer = 0;
  auto got = read_process_memory(pid, config.area + sequence_offset, &pointer, sizeof(pointer));
  if (!got.has_value() || *got != sizeof(pointer) || pointer == 0) return;
  RseqSequence sequence{};
  got = read_process_memory(pid, pointer, &sequence, sizeof(sequence));
  if (!got.has_value() || *got != sizeof(sequence)) return;
  if (arch::program_counter(registers) - sequence.start < sequence.length) {
    arch::set_program_counter(registers, sequence.abort);
  }
}

}  // namespace

Result<HeldThread> HeldThread::hold(pid_t pid, pid_t tid, uint64_t syscall_address, Deadline deadline) {
  GODWIT_TRY(seize(pid, tid));
  // It has to come to a processor for each step.
  auto boost = std::make_unique<PriorityBoost>(tid, 1);
  const Clock::time_point since = Clock::now();
  for (;;) {
    // Any other stop takes a pending interrupt away, so it is asked for again after each.
    if (trace(PTRACE_INTERRUPT, tid, 0, nullptr) != 0) return ended(tid);
    GODWIT_ASSIGN(const Stop stop, wait_stop(tid, deadline));
    if (stop.interrupted()) break;
    // A signal was about to be delivered: let it.
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an integer argument by ptrace's design
    auto* signal = reinterpret_cast<void*>(static_cast<uintptr_t>(stop.event == 0 ? stop.signal : 0));
    if (trace(PTRACE_CONT, tid, 0, signal) != 0) return ended(tid);
  }
  HeldThread held(pid, tid, syscall_address, since, std::move(boost));
  GODWIT_TRY(held.save());
  return held;
}

HeldThread::HeldThread(HeldThread&& other) noexcept
    : pid_(other.pid_),
      tid_(std::exchange(other.tid_, -1)),
      syscall_address_(other.syscall_address_),
      since_(other.since_),
      saved_(other.saved_),
      saved_mask_(other.saved_mask_),
      changed_(other.changed_),
      boost_(std::move(other.boost_)) {}

Result<> HeldThread::save() {
  if (trace(PTRACE_GETREGS, tid_, 0, &saved_) != 0) return fail_errno("read registers of thread {}", tid_);
  if (trace(PTRACE_GETSIGMASK, tid_, sizeof(saved_mask_), &saved_mask_) != 0) {
    return fail_errno("read the signal mask of thread {}", tid_);
  }
  if (!arch::can_call(saved_)) {
    return std::unexpected(Error{fmt::format("process {} runs 32-bit code", pid_), ENOSYS});
  }
  if (dispatches_syscalls(tid_)) {
    return std::unexpected(Error{fmt::format("process {} handles its own system calls (user dispatch)", pid_), ENOSYS});
  }
  if (!arch::in_syscall(saved_)) abort_restartable_sequence(pid_, tid_, saved_);
  return {};
}

Result<int64_t> HeldThread::call(int64_t number, std::array<uint64_t, 6> arguments) {
  GODWIT_CHECK(tid_ > 0);
  if (!changed_) {
    changed_ = true;
    const uint64_t all = ~uint64_t{0};
    if (trace(PTRACE_SETSIGMASK, tid_, sizeof(all), &all) != 0) return fail_errno("block signals of thread {}", tid_);
  }
  const user_regs_struct registers = arch::call_registers(saved_, syscall_address_, number, arguments);
  if (trace(PTRACE_SETREGS, tid_, 0, &registers) != 0) return fail_errno("set registers of thread {}", tid_);

  // Into the call: to its entry stop. Past stop signals, which cannot be blocked: they take effect, and the thread
  // stays stopped for everybody else when it is let go.
  int signal = 0;
  for (;;) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an integer argument by ptrace's design
    if (trace(PTRACE_SYSCALL, tid_, 0, reinterpret_cast<void*>(static_cast<uintptr_t>(signal))) != 0) {
      return fail_errno("resume thread {}", tid_);
    }
    GODWIT_ASSIGN(const Stop stop, wait_stop(tid_, Deadline::never()));
    if (stop.at_syscall) break;
    signal = stop.event == 0 && stop.signal == SIGSTOP ? SIGSTOP : 0;
    if (signal == 0 && !stop.interrupted())
      return fail("thread {} got signal {} instead of our call", tid_, stop.signal);
  }
  // Through it: the interrupt asked for now takes effect after the call, in the kernel's signal handling.
  if (trace(PTRACE_INTERRUPT, tid_, 0, nullptr) != 0) return ended(tid_);
  if (trace(PTRACE_CONT, tid_, 0, nullptr) != 0) return fail_errno("resume thread {}", tid_);
  GODWIT_ASSIGN(const Stop stop, wait_stop(tid_, Deadline::never()));
  if (!stop.interrupted()) return fail("thread {} got signal {} in our call", tid_, stop.signal);
  user_regs_struct after{};
  if (trace(PTRACE_GETREGS, tid_, 0, &after) != 0) return fail_errno("read registers of thread {}", tid_);
  return arch::call_result(after);
}

// Whether a signal waits that the thread takes as soon as it is let go.
bool HeldThread::signal_awaits() const {
  for (const uint32_t flags : {0U, static_cast<uint32_t>(PTRACE_PEEKSIGINFO_SHARED)}) {
    std::array<siginfo_t, 32> signals;
    const __ptrace_peeksiginfo_args request{.off = 0, .flags = flags, .nr = static_cast<int32_t>(signals.size())};
    const long got = trace(PTRACE_PEEKSIGINFO, tid_, reinterpret_cast<uint64_t>(&request), signals.data());
    for (long i = 0; i < got; ++i) {
      if ((saved_mask_ & (uint64_t{1} << (signals[static_cast<size_t>(i)].si_signo - 1))) == 0) return true;
    }
  }
  return false;
}

void HeldThread::restore() {
  // ESRCH: it was killed, or a freezer of somebody else has stopped it once more, in which case it must be waited for.
  const auto until_done = [this](int request, uint64_t address, const void* data) {
    for (;;) {
      if (trace(request, tid_, address, data) == 0) return true;
      if (errno != ESRCH || !read_status(tid_).has_value()) return false;
      int status = 0;
      if (::waitpid(tid_, &status, __WALL | WNOHANG) < 0 || (status != 0 && !WIFSTOPPED(status))) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  // If a signal is waiting, EINTR is what it is to see.
  const auto retry = arch::retry_interrupted(saved_);
  const bool retries = retry.has_value() && !signal_awaits();
  if (!until_done(PTRACE_SETREGS, 0, retries ? &*retry : &saved_)) return;
  if (changed_ && !until_done(PTRACE_SETSIGMASK, sizeof(saved_mask_), &saved_mask_)) return;
  boost_.reset();
  until_done(PTRACE_DETACH, 0, nullptr);
}

HeldThread::~HeldThread() {
  if (tid_ > 0) restore();
}

Result<uint64_t> find_syscall(pid_t pid) {
  GODWIT_ASSIGN(const std::vector<Vma> mappings, read_mappings(pid));
  constexpr uint64_t searched_bytes_max = 1 << 20;
  // The vdso is two pages and has one; after it any code will do.
  for (const bool vdso : {true, false}) {
    for (const Vma& vma : mappings) {
      if (!vma.execute || !vma.read || vma.shared || vma.path == "[vsyscall]" || (vma.path == "[vdso]") != vdso)
        continue;
      std::vector<uint8_t> code(std::min(vma.size(), searched_bytes_max));
      const auto got = read_process_memory(pid, vma.start, code.data(), code.size());
      if (!got.has_value()) return std::unexpected(got.error());
      code.resize(*got);
      const auto found = std::ranges::search(code, arch::syscall_instruction);
      if (!found.empty()) return vma.start + static_cast<uint64_t>(found.begin() - code.begin());
    }
  }
  if (mappings.empty()) return ended(pid);
  return std::unexpected(Error{fmt::format("process {} has no code with a system call instruction", pid), ENOSYS});
}

}  // namespace godwit::os
