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
       const timespec span = seconds(2);
       timespec before{};
       timespec after{};
       ::clock_gettime(CLOCK_MONOTONIC, &before);
       const int result = ::nanosleep(&span, nullptr);
       ::clock_gettime(CLOCK_MONOTONIC, &after);
       const double slept = static_cast<double>(after.tv_sec - before.tv_sec) +
                            static_cast<double>(after.tv_nsec - before.tv_nsec) * 1e-9;
       return check(result == 0 && slept >= 2);
     }},
    {"clock_nanosleep until",
     [](int) {
       timespec until{};
       ::clock_gettime(CLOCK_MONOTONIC, &until);
       until.tv_sec += 2;
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
       const timespec limit = seconds(2);
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

}  // namespace
}  // namespace godwit::os
