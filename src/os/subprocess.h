// Running other programs (criu, runc, iptables): bounded in time and output, no shell.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

struct Command {
  std::vector<std::string> argv;
  std::vector<std::string> environment;          // "NAME=value", added to our own
  std::string directory;                         // empty: ours
  std::string network_namespace;                 // a path to enter, e.g. /proc/42/ns/net; empty: ours
  std::vector<std::string> namespaces;           // further ones to enter, of whatever kind
  std::vector<std::pair<int, int>> descriptors;  // {ours, number in the child}; 0, 1, 2 may be given here
  bool die_with_parent = true;                   // SIGKILL when the thread that started it ends
};

struct Output {
  int status = 0;    // exit status; 128 + signal if killed by one
  std::string text;  // standard output and error, interleaved; the last 64 KiB
};

// A descriptor of a process, readable when that has ended. Error of code ESRCH: it is gone.
Result<UniqueFd> open_pidfd(pid_t pid);

// Replaces this process by a program, which is looked for in PATH if it is no path. Returns only if it cannot be
// started: why.
Error become(const std::vector<std::string>& argv);

// A started program. Destroying it while it runs kills it, and reaps it if it is ours.
class Subprocess {
 public:
  // A process that somebody else started and reaps: wait() sees its end, not its status, and calls it 0.
  static Result<Subprocess> of_other(pid_t pid);
  // Standard input is /dev/null and standard output and error are /dev/null unless `descriptors` names them.
  static Result<Subprocess> start(const Command& command);
  Subprocess(Subprocess&& other) noexcept
      : pid_(std::exchange(other.pid_, -1)), pidfd_(std::move(other.pidfd_)), ours_(other.ours_) {}
  Subprocess& operator=(Subprocess&& other) noexcept;
  ~Subprocess();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }  // readable when it has ended
  // Exit status as in Output::status. Error when the deadline passes (the program is left running).
  Result<int> wait(Deadline deadline);
  void kill_and_wait();
  // Lets it run on without us; its end is no longer ours to wait for.
  void detach() { pid_ = -1; }

 private:
  Subprocess(pid_t pid, UniqueFd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}
  pid_t pid_ = -1;
  UniqueFd pidfd_;
  bool ours_ = true;
};

// Runs to the end. Error only if it could not be started or the deadline passed (then it is killed).
Result<Output> run(const Command& command, Deadline deadline);
// As run(), and a status other than 0 is an error that carries the end of the program's output.
Result<std::string> run_checked(const Command& command, Deadline deadline);

}  // namespace godwit::os
