#include "agent/pid_keeper.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "criu/container_mounts.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

// Words between worker and keeper, one byte each.
constexpr char word_free = 'f';
constexpr char word_freed = 'F';
constexpr char word_done = 'd';

// How long a number may be in use by the first process of a container that was just ended.
constexpr int again_tries_max = 500;
constexpr useconds_t again_interval_us = 20'000;

// Until its keeper ends.
[[noreturn]] void be_placeholder(pid_t keeper) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) _exit(1);
  for (;;) ::pause();
}

pid_t make_placeholder() {
  const pid_t keeper = ::getpid();
  const pid_t pid = ::fork();
  if (pid == 0) be_placeholder(keeper);
  return pid;
}

// With the number that it had.
pid_t make_placeholder_again(pid_t pid) {
  const pid_t keeper = ::getpid();
  clone_args arguments{};
  arguments.exit_signal = SIGCHLD;
  arguments.set_tid = reinterpret_cast<uint64_t>(&pid);
  arguments.set_tid_size = 1;
  const long made = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (made == 0) be_placeholder(keeper);
  return static_cast<pid_t>(made);
}

[[noreturn]] void be_keeper(int connection) {
  ::setsid();
  ::prctl(PR_SET_NAME, "godwit-keeper");
  for (const int signal : {SIGHUP, SIGINT, SIGTERM, SIGPIPE}) ::signal(signal, SIG_IGN);
  // Nothing of the container's streams is held open from here.
  const int null_device = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int standard = 0; standard < 3; ++standard) ::dup2(null_device, standard);
  constexpr int kept_number = 3;
  if (connection != kept_number) ::dup2(connection, kept_number);
  ::syscall(SYS_close_range, kept_number + 1, ~0U, 0);
  const pid_t placeholder = make_placeholder();
  if (placeholder < 0 || ::send(kept_number, &placeholder, sizeof placeholder, 0) < 0) _exit(1);
  bool freed = false;
  char word = 0;
  while (::recv(kept_number, &word, 1, 0) == 1) {
    if (word == word_done) _exit(0);
    if (word != word_free || freed) continue;
    ::kill(placeholder, SIGKILL);
    ::waitpid(placeholder, nullptr, 0);
    freed = true;
    ::send(kept_number, &word_freed, 1, 0);
  }
  // Nothing will arrive. A number that is still in use is that of a first process which the shim reaps itself.
  for (int tries = 0; freed && tries < again_tries_max && make_placeholder_again(placeholder) < 0; ++tries) {
    if (errno != EEXIST) break;
    ::usleep(again_interval_us);
  }
  _exit(1);
}

}  // namespace

Result<KeptPid> keep_pid() {
  GODWIT_ASSIGN(os::SocketPair pair, os::seqpacket_pair());
  KeptPid kept;
  kept.keeper = ::fork();
  if (kept.keeper < 0) return fail_errno("fork");
  if (kept.keeper == 0) be_keeper(pair.theirs.get());
  pair.theirs.reset();
  if (::recv(pair.ours.get(), &kept.placeholder, sizeof kept.placeholder, 0) != sizeof kept.placeholder) {
    return fail("the process that takes the place of a container's first one cannot be started");
  }
  kept.connection = std::move(pair.ours);
  return kept;
}

Result<> PidKeeper::join_cgroups_of(pid_t pid) const {
  GODWIT_ASSIGN(const auto directories, criu::cgroup_directories(pid));
  for (const auto& [key, directory] : directories) {
    GODWIT_TRY(os::write_file(directory + "/cgroup.procs", std::to_string(kept_.placeholder)));
  }
  return {};
}

Result<> PidKeeper::free_pid(Deadline deadline) {
  GODWIT_TRY(os::send_message(kept_.connection.get(), std::string(1, word_free)));
  const auto answer = os::receive_message(kept_.connection.get(), deadline);
  if (!answer) return fail("the container that waits for its restore was ended by its kubelet");
  return {};
}

void PidKeeper::done() {
  // One that is gone has nothing left to keep.
  [[maybe_unused]] const auto told = os::send_message(kept_.connection.get(), std::string(1, word_done));
  kept_.connection.reset();
}

}  // namespace godwit::agent
