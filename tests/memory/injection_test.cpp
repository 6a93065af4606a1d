// remote_userfaultfd() on real processes: in every kind of blocking system call, under signals, seccomp, stopped; and
// a thousand times into a program that checks itself all the while.
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

int check(bool condition) {
  return condition ? correct : errno % 40;
}

size_t descriptor_count(pid_t pid) {
  const auto descriptors = read_descriptors(pid);
  return descriptors.has_value() ? descriptors->size() : 0;
}

// A system call that blocks until the parent wakes it, and what it must then have returned.
struct Blocking {
  const char* name;
  int (*body)(int wake_fd);
};

timespec seconds(double value) {
  return {.tv_sec = static_cast<time_t>(value), .tv_nsec = static_cast<long>((value - std::floor(value)) * 1e9)};
}

int epoll_on(int fd) {
  const int epoll = ::epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  return epoll;
}

// Ends the blocking call of a case that does not wait for the pipe: a helper process does `action` after the wake.
template <typename Action>
void after_wake(int wake_fd, Action action) {
  if (::fork() == 0) {
    char byte = 0;
    [[maybe_unused]] const ssize_t got = ::read(wake_fd, &byte, 1);
    ::usleep(1000);
    action();
    ::_exit(0);
  }
}

const Blocking blocking_calls[] = {
    {"read",
     [](int fd) {
       char byte = 0;
       return check(::read(fd, &byte, 1) == 1 && byte == 'x');
     }},
    {"poll",
     [](int fd) {
       pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
       return check(::poll(&item, 1, 20000) == 1);
     }},
    {"ppoll with a mask",
     [](int fd) {
       pollfd item{.fd = fd, .events = POLLIN, .revents = 0};
       sigset_t mask;
       sigfillset(&mask);
       const timespec limit = seconds(20);
       return check(::ppoll(&item, 1, &limit, &mask) == 1);
     }},
    {"select",
     [](int fd) {
       fd_set set;
       FD_ZERO(&set);
       FD_SET(fd, &set);
       timeval limit{.tv_sec = 20, .tv_usec = 0};
       return check(::select(fd + 1, &set, nullptr, nullptr, &limit) == 1);
     }},
    {"epoll_wait",
     [](int fd) {
       epoll_event event{};
       return check(::epoll_wait(epoll_on(fd), &event, 1, -1) == 1);
     }},
    {"epoll_wait with a timeout",
     [](int fd) {
       epoll_event event{};
       return check(::epoll_wait(epoll_on(fd), &event, 1, 20000) == 1);
     }},
    {"epoll_pwait",
     [](int fd) {
       epoll_event event{};
       sigset_t mask;
       sigemptyset(&mask);
       return check(::epoll_pwait(epoll_on(fd), &event, 1, 20000, &mask) == 1);
     }},
    {"nanosleep",
     [](int) {
       const timespec span = seconds(0.5);
       timespec before{};
       timespec after{};
       ::clock_gettime(CLOCK_MONOTONIC, &before);
       const int result = ::nanosleep(&span, nullptr);
       ::clock_gettime(CLOCK_MONOTONIC, &after);
       const double slept = static_cast<double>(after.tv_sec - before.tv_sec) +
                            static_cast<double>(after.tv_nsec - before.tv_nsec) * 1e-9;
       return check(result == 0 && slept >= 0.5 && slept < 0.8);
     }},
    {"clock_nanosleep until",
     [](int) {
       timespec until{};
       ::clock_gettime(CLOCK_MONOTONIC, &until);
       until.tv_sec += 1;
       return check(::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) == 0);
     }},
    {"futex",
     [](int fd) {
       auto* word = static_cast<int*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
       after_wake(fd, [word] { ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0); });
       return check(::syscall(SYS_futex, word, FUTEX_WAIT, 0, nullptr, nullptr, 0) == 0);
     }},
    {"futex with a timeout",
     [](int fd) {
       auto* word = static_cast<int*>(::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
       after_wake(fd, [word] { ::syscall(SYS_futex, word, FUTEX_WAKE, 1, nullptr, nullptr, 0); });
       const timespec limit = seconds(20);
       return check(::syscall(SYS_futex, word, FUTEX_WAIT, 0, &limit, nullptr, 0) == 0);
     }},
    {"futex that times out",
     [](int) {
       int word = 0;
       const timespec limit = seconds(0.5);
       return check(::syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit, nullptr, 0) == -1 && errno == ETIMEDOUT);
     }},
    {"sigsuspend",
     [](int fd) {
       static volatile sig_atomic_t got = 0;
       ::signal(SIGUSR1, [](int) { got = 1; });
       sigset_t mask;
       sigemptyset(&mask);
       sigaddset(&mask, SIGUSR1);
       sigset_t old;
       ::sigprocmask(SIG_BLOCK, &mask, &old);
       const pid_t self = ::getpid();
       after_wake(fd, [self] { ::kill(self, SIGUSR1); });
       const int result = ::sigsuspend(&old);  // EINTR is how it reports the signal
       sigset_t now;
       ::sigprocmask(SIG_BLOCK, nullptr, &now);
       return check(result == -1 && errno == EINTR && got == 1 && sigismember(&now, SIGUSR1) == 1);
     }},
    {"sigtimedwait",
     [](int fd) {
       sigset_t mask;
       sigemptyset(&mask);
       sigaddset(&mask, SIGUSR1);
       ::sigprocmask(SIG_BLOCK, &mask, nullptr);
       const pid_t self = ::getpid();
       after_wake(fd, [self] { ::kill(self, SIGUSR1); });
       const timespec limit = seconds(20);
       return check(::sigtimedwait(&mask, nullptr, &limit) == SIGUSR1);
     }},
    {"epoll_wait that a signal interrupts",
     [](int fd) {
       static volatile sig_atomic_t got = 0;
       struct sigaction action{};
       action.sa_handler = [](int) { got = 1; };
       ::sigaction(SIGUSR1, &action, nullptr);
       std::array<int, 2> never{};
       if (::pipe(never.data()) != 0) return 1;
       const pid_t self = ::getpid();
       after_wake(fd, [self] { ::kill(self, SIGUSR1); });
       epoll_event event{};
       return check(::epoll_wait(epoll_on(never[0]), &event, 1, 20000) == -1 && errno == EINTR && got == 1);
     }},
    {"semtimedop",
     [](int fd) {
       const int semaphores = ::semget(IPC_PRIVATE, 1, 0600);
       after_wake(fd, [semaphores] {
         sembuf up{.sem_num = 0, .sem_op = 1, .sem_flg = 0};
         ::semop(semaphores, &up, 1);
       });
       sembuf down{.sem_num = 0, .sem_op = -1, .sem_flg = 0};
       const timespec limit = seconds(20);
       const int result = ::semtimedop(semaphores, &down, 1, &limit);
       const int code = errno;
       ::semctl(semaphores, 0, IPC_RMID);
       errno = code;
       return check(result == 0);
     }},
    {"msgrcv",
     [](int fd) {
       const int queue = ::msgget(IPC_PRIVATE, 0600);
       struct Message {
         long type = 1;
         char text = 'm';
       };
       after_wake(fd, [queue] {
         const Message message;
         ::msgsnd(queue, &message, 1, 0);
       });
       Message message;
       const ssize_t result = ::msgrcv(queue, &message, 1, 0, 0);
       const int code = errno;
       ::msgctl(queue, IPC_RMID, nullptr);
       errno = code;
       return check(result == 1);
     }},
    {"recv with a timeout",
     [](int fd) {
       std::array<int, 2> pair{};
       if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair.data()) != 0) return 1;
       const timeval limit{.tv_sec = 20, .tv_usec = 0};
       ::setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
       after_wake(fd, [&pair] { ::send(pair[1], "y", 1, 0); });
       char byte = 0;
       return check(::recv(pair[0], &byte, 1, 0) == 1 && byte == 'y');
     }},
    {"accept with a timeout",
     [](int fd) {
       const int listener = ::socket(AF_UNIX, SOCK_STREAM, 0);
       sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
       const int length = ::snprintf(address.sun_path + 1, 90, "godwit-injection-%d", ::getpid());
       const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<size_t>(length));
       auto* generic = reinterpret_cast<sockaddr*>(&address);
       if (::bind(listener, generic, size) != 0 || ::listen(listener, 1) != 0) return 1;
       const timeval limit{.tv_sec = 20, .tv_usec = 0};
       ::setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
       after_wake(fd, [generic, size] { ::connect(::socket(AF_UNIX, SOCK_STREAM, 0), generic, size); });
       return check(::accept(listener, nullptr, nullptr) >= 0);
     }},
    {"read of inotify",
     [](int fd) {
       const int notify = ::inotify_init1(0);
       ::inotify_add_watch(notify, "/dev/null", IN_OPEN);
       after_wake(fd, [] { ::open("/dev/null", O_RDONLY); });
       std::array<char, 4096> buffer;
       return check(::read(notify, buffer.data(), buffer.size()) > 0);
     }},
    {"waitpid",
     [](int fd) {
       const pid_t child = ::fork();
       if (child == 0) {
         char byte = 0;
         ::_exit(::read(fd, &byte, 1) == 1 ? 7 : 1);
       }
       int status = 0;
       return check(::waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
     }},
};

TEST(Injection, BlockingCallsDoNotNotice) {
  for (const Blocking& blocking : blocking_calls) {
    SCOPED_TRACE(blocking.name);
    Child child(blocking.body);
    ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
    for (int i = 0; i < 5; ++i) {
      const auto remote = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5)));
      ASSERT_TRUE(remote.has_value()) << remote.error().message;
      ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
    }
    const size_t open = descriptor_count(child.pid());
    child.wake();
    EXPECT_EQ(child.wait(Deadline::after(std::chrono::seconds(10))), correct);
    EXPECT_LE(open, 12U);
  }
}

TEST(Injection, LeavesNoDescriptorBehind) {
  const Child child([](int) {
    for (;;) ::pause();
    return 0;
  });
  ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
  const size_t before = descriptor_count(child.pid());
  auto remote = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(remote.has_value()) << remote.error().message;
  EXPECT_EQ(descriptor_count(child.pid()), before);
  EXPECT_EQ(descriptor_count(::getpid()), descriptor_count(::getpid()));
  EXPECT_GT(remote->stopped_us, 0);
}

// A filter that kills for everything but what the child itself needs.
void allow_only_pause_and_exit() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{.len = std::size(program), .filter = program};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}

TEST(Injection, WorksUnderSeccomp) {
  Child child([](int fd) {
    allow_only_pause_and_exit();
    char byte = 0;
    return check(::read(fd, &byte, 1) == 1);
  });
  ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
  const auto remote = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(remote.has_value()) << remote.error().message;
  EXPECT_EQ(read_status(child.pid())->seccomp, 2);
  child.wake();
  EXPECT_EQ(child.wait(Deadline::after(std::chrono::seconds(5))), correct);
}

TEST(Injection, FilterStillKillsAfterwards) {
  Child child([](int fd) {
    allow_only_pause_and_exit();
    char byte = 0;
    [[maybe_unused]] const ssize_t got = ::read(fd, &byte, 1);
    ::getppid();
    return correct;
  });
  ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
  ASSERT_TRUE(remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5))).has_value());
  child.wake();
  EXPECT_EQ(child.wait(Deadline::after(std::chrono::seconds(5))), 128 + SIGSYS);
}

TEST(Injection, StoppedProcessStaysStopped) {
  Child child([](int fd) {
    char byte = 0;
    return check(::read(fd, &byte, 1) == 1);
  });
  ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
  ::kill(child.pid(), SIGSTOP);
  while (read_status(child.pid())->state != 'T') ::usleep(100);
  const auto remote = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5)));
  ASSERT_TRUE(remote.has_value()) << remote.error().message;
  for (int i = 0; i < 100 && read_status(child.pid())->state != 'T'; ++i) ::usleep(1000);
  EXPECT_EQ(read_status(child.pid())->state, 'T');
  ::kill(child.pid(), SIGCONT);
  child.wake();
  EXPECT_EQ(child.wait(Deadline::after(std::chrono::seconds(5))), correct);
}

TEST(Injection, SaysWhoTraces) {
  const Child child([](int fd) {
    char byte = 0;
    return check(::read(fd, &byte, 1) == 1);
  });
  ASSERT_TRUE(child.wait_asleep(Deadline::after(std::chrono::seconds(5))));
  ASSERT_EQ(::ptrace(PTRACE_SEIZE, child.pid(), nullptr, nullptr), 0);
  const auto remote = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(5)));
  ASSERT_FALSE(remote.has_value());
  EXPECT_EQ(remote.error().code, EBUSY);
  EXPECT_NE(remote.error().message.find(std::to_string(::getpid())), std::string::npos) << remote.error().message;
}

TEST(Injection, SaysThatItEnded) {
  Child child([](int) { return correct; });
  while (read_status(child.pid())->state != 'Z') ::usleep(100);
  const auto zombie = remote_userfaultfd(child.pid(), Deadline::after(std::chrono::seconds(1)));
  ASSERT_FALSE(zombie.has_value());
  EXPECT_TRUE(vanished(zombie.error())) << zombie.error().message;
  const pid_t pid = child.pid();
  ASSERT_EQ(child.wait(Deadline::after(std::chrono::seconds(1))), correct);
  const auto reaped = remote_userfaultfd(pid, Deadline::after(std::chrono::seconds(1)));
  ASSERT_FALSE(reaped.has_value());
  EXPECT_TRUE(vanished(reaped.error())) << reaped.error().message;
}

TEST(Injection, GivesUpOnUninterruptibleSleep) {
  // The parent of a vfork child sleeps until that ends or executes a program.
  Child child([](int fd) {
    const pid_t grandchild = ::vfork();  // NOLINT: the state that is tested
    if (grandchild == 0) {
      char byte = 0;
      [[maybe_unused]] const ssize_t got = ::read(fd, &byte, 1);
      ::_exit(0);
    }
    return correct;
  });
  for (int i = 0; i < 1000 && read_status(child.pid())->state != 'D'; ++i) ::usleep(1000);
  const auto remote = remote_userfaultfd(child.pid(), Deadline::after(milliseconds(50)));
  ASSERT_FALSE(remote.has_value());
  EXPECT_EQ(remote.error().code, ETIMEDOUT) << remote.error().message;
  child.wake();
  EXPECT_EQ(child.wait(Deadline::after(std::chrono::seconds(5))), correct);
}

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
  EXPECT_LT(stopped_us[500], 1000);  // 0.2 ms on a machine that does nothing else
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
