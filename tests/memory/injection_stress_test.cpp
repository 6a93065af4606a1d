// remote_userfaultfd() again and again into a program that checks itself all the while.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/ptrace.h>
#include <sys/rseq.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <vector>

#include "child.h"
#include "os/procfs.h"
#include "os/remote_syscall.h"

namespace godwit::os {
namespace {

using test::Child;

constexpr int correct = 42;

// Runs a restartable sequence that stores a counter twice; an interruption in it that does not lead to the abort
// handler leaves the two unequal, as another thread on this processor has changed them.
#ifdef __x86_64__
struct RseqCounters {
  std::array<uint64_t, 64 * 8> per_cpu{};  // a cache line each
};

// The sequence proper: [1, 2) adds one to the counter of the current processor, by load, spin, store.
bool rseq_increment(RseqCounters& counters) {
  auto* thread_pointer = static_cast<char*>(__builtin_thread_pointer());
  char* rseq = thread_pointer + __rseq_offset;
  const uint32_t cpu = *reinterpret_cast<volatile uint32_t*>(rseq);  // cpu_id_start
  if (cpu >= 64) return false;
  uint64_t* counter = &counters.per_cpu[static_cast<size_t>(cpu) * 8];
  bool done = false;
  asm volatile(
      ".pushsection __rseq_cs, \"aw\"\n"
      ".balign 32\n"
      "3: .long 0, 0\n"
      ".quad 1f, 2f - 1f, 4f\n"
      ".popsection\n"
      "leaq 3b(%%rip), %%rax\n"
      "movq %%rax, 8(%[rseq])\n"
      "1:\n"
      "cmpl %[cpu], 4(%[rseq])\n"  // still on that processor?
      "jne 4f\n"
      "movq (%[counter]), %%rax\n"
      "movl $3000, %%ecx\n"
      "6: dec %%ecx\n"
      "jnz 6b\n"
      "incq %%rax\n"
      "movq %%rax, (%[counter])\n"
      "2:\n"
      "movb $1, %[done]\n"
      "jmp 5f\n"
      ".pushsection __rseq_failure, \"ax\"\n"
      ".byte 0x0f, 0xb9, 0x3d\n"
      ".long 0x53053053\n"  // the signature that glibc registers
      "4: jmp 5f\n"
      ".popsection\n"
      "5:\n"
      : [done] "+m"(done)
      : [rseq] "r"(rseq), [cpu] "r"(cpu), [counter] "r"(counter)
      : "memory", "cc", "rax", "rcx");
  return done;
}
#endif

// What the stress child shares with the test.
struct StressState {
  std::atomic<uint64_t> loops;
  std::atomic<uint64_t> signals_sent;
  std::atomic<uint64_t> signals_taken;
  std::atomic<uint64_t> sequences;
  std::atomic<int> error;
  std::atomic<bool> stop;
  RseqCounters counters;
};

StressState* stress = nullptr;
volatile uint64_t next_signal = 0;

void take_numbered_signal(int, siginfo_t* info, void*) {
  // Real-time signals are queued: each arrives once, in order.
  const auto number = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(info->si_value.sival_ptr));
  if (number != next_signal) stress->error = 1;
  next_signal = next_signal + 1;
  stress->signals_taken = number + 1;
}

int stress_child(int wake_fd) {
  struct sigaction action{};
  action.sa_sigaction = take_numbered_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigaction(SIGRTMIN, &action, nullptr);
  std::array<int, 2> pipe_fds{};
  if (::pipe(pipe_fds.data()) != 0) return 1;
  std::array<double, 8> vector{1, 2, 3, 4, 5, 6, 7, 8};
  uint64_t a = 0x9e3779b97f4a7c15;
  uint64_t b = 0;
  for (uint64_t loop = 0; !stress->stop; ++loop) {
    if (::syscall(SYS_getpid) <= 0) stress->error = 2;
    uint64_t out = loop * a;
    uint64_t in = 0;
    if (::write(pipe_fds[1], &out, 8) != 8 || ::read(pipe_fds[0], &in, 8) != 8 || in != out) stress->error = 3;
    // Arithmetic with everything in registers, done twice: an altered register makes a difference.
    for (int i = 0; i < 200; ++i) b = (b ^ a) * 0x2545f4914f6cdd1d + (b >> 7) + static_cast<uint64_t>(i);
    uint64_t expected = b;
    uint64_t again = b;
    for (int i = 0; i < 200; ++i) expected = (expected * 3) ^ (expected >> 11);
    for (int i = 0; i < 200; ++i) again = (again * 3) ^ (again >> 11);
    if (again != expected) stress->error = 4;
    for (double& value : vector) value = value * 1.5 + 0.25;
    for (size_t i = 1; i < vector.size(); ++i) {
      if (vector[i] < vector[i - 1]) stress->error = 5;
    }
    if (vector[7] > 1e9) vector = {1, 2, 3, 4, 5, 6, 7, 8};
    timespec tiny{.tv_sec = 0, .tv_nsec = 1000};
    if (loop % 16 == 0 && ::clock_nanosleep(CLOCK_MONOTONIC, 0, &tiny, nullptr) != 0 && stress->signals_sent == 0) {
      stress->error = 6;
    }
    stress->loops = loop;
  }
  ::close(wake_fd);
  return stress->error == 0 ? correct : stress->error.load();
}

TEST(Injection, ThousandTimesIntoABusyProgram) {
  stress = static_cast<StressState*>(
      ::mmap(nullptr, sizeof(StressState), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  Child child(stress_child);
  while (stress->loops < 10) ::usleep(100);
  std::vector<double> stopped_us;
  uint64_t sent = 0;
  for (int i = 0; i < 1000; ++i) {
    // Some signals before, so that some are on their way while it is held.
    for (int n = 0; n < 3; ++n) {
      sigval value{};
      value.sival_ptr = reinterpret_cast<void*>(static_cast<uintptr_t>(sent));
      if (::sigqueue(child.pid(), SIGRTMIN, value) == 0) stress->signals_sent = ++sent;
    }
    const auto remote = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5)));
    ASSERT_TRUE(remote.has_value()) << "after " << i << ": " << remote.error().message;
    stopped_us.push_back(remote->stopped_us);
    ASSERT_EQ(stress->error, 0) << "after " << i;
  }
  const Deadline deadline = Deadline::after(std::chrono::seconds(5));
  while (stress->signals_taken != sent && !deadline.expired()) ::usleep(100);
  EXPECT_EQ(stress->signals_taken, sent);
  stress->stop = true;
  EXPECT_EQ(child.wait(Deadline::after(std::chrono::seconds(5))), correct);
  std::ranges::sort(stopped_us);
  std::printf("held for %.0f us (median), %.0f us (99th percentile)\n", stopped_us[500], stopped_us[990]);
  EXPECT_LT(stopped_us[500], 5000);  // 0.2 ms on a machine that does nothing else
}

#ifdef __x86_64__
TEST(Injection, AbortsRestartableSequences) {
  stress = static_cast<StressState*>(
      ::mmap(nullptr, sizeof(StressState), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  // Two programs on one processor count in shared memory, by sequences of about a microsecond.
  const auto count = [](int) {
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    ::sched_setaffinity(0, sizeof(cpus), &cpus);
    uint64_t done = 0;
    while (!stress->stop) done += rseq_increment(stress->counters) ? 1 : 0;
    stress->sequences += done;
    return correct;
  };
  Child one(count);
  Child other(count);
  ::usleep(20000);
  for (int i = 0; i < 300; ++i) {
    const auto remote = remote_userfaultfd(one.pid(), Deadline::after(std::chrono::seconds(5)));
    ASSERT_TRUE(remote.has_value()) << remote.error().message;
  }
  stress->stop = true;
  EXPECT_EQ(one.wait(Deadline::after(std::chrono::seconds(5))), correct);
  EXPECT_EQ(other.wait(Deadline::after(std::chrono::seconds(5))), correct);
  EXPECT_GT(stress->sequences, 1000U);
  EXPECT_EQ(stress->counters.per_cpu[0], stress->sequences);
}
#endif

}  // namespace
}  // namespace godwit::os
