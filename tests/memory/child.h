// Children that tests fork, with a body that must not use what fork leaves broken (locks of other threads).
#pragma once

#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "base/deadline.h"

namespace godwit::test {

// A forked child; killed and reaped at the end of the scope.
class Child {
 public:
  // Runs `body` in the child, which ends with its value. `body` gets a pipe's read end that the parent's wake() ends.
  explicit Child(const std::function<int(int wake_fd)>& body) {
    std::array<int, 2> pipe_fds{};
    if (::pipe(pipe_fds.data()) != 0) std::abort();
    (void)std::signal(SIGPIPE, SIG_IGN);  // wake() may come after its end
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      (void)std::signal(SIGPIPE, SIG_DFL);
      ::close(pipe_fds[1]);
      ::_exit(body(pipe_fds[0]));
    }
    ::close(pipe_fds[0]);
    wake_fd_ = pipe_fds[1];
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    wake();
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  [[nodiscard]] pid_t pid() const { return pid_; }
  // Writes a byte to the child's pipe and closes it.
  void wake() {
    if (wake_fd_ < 0) return;
    [[maybe_unused]] const ssize_t written = ::write(wake_fd_, "x", 1);
    ::close(wake_fd_);
    wake_fd_ = -1;
  }
  // Exit status, 128 + signal, or -1 if it did not end in time.
  int wait(Deadline deadline) {
    for (;;) {
      int status = 0;
      const pid_t got = ::waitpid(pid_, &status, WNOHANG);
      if (got == pid_) {
        pid_ = -1;
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      if (deadline.expired()) return -1;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }
  // Whether it came to sleep (or stop) in time: then it is where its body blocks.
  [[nodiscard]] bool wait_asleep(Deadline deadline) const {
    while (!deadline.expired()) {
      std::ifstream stat("/proc/" + std::to_string(pid_) + "/stat");
      std::string line;
      std::getline(stat, line);
      const size_t at = line.rfind(')');
      if (at != std::string::npos && (line[at + 2] == 'S' || line[at + 2] == 'T')) return true;
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    return false;
  }

 private:
  pid_t pid_ = -1;
  int wake_fd_ = -1;
};

}  // namespace godwit::test
