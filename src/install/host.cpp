#include "install/host.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "install/cgroups.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::install {
namespace {

// The rest of the namespaces first: after the mounts, /proc is the node's.
constexpr std::pair<const char*, int> namespaces[] = {{"net", CLONE_NEWNET},
                                                      {"uts", CLONE_NEWUTS},
                                                      {"ipc", CLONE_NEWIPC},
                                                      {"cgroup", CLONE_NEWCGROUP},
                                                      {"mnt", CLONE_NEWNS}};

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{.read = UniqueFd(ends[0]), .write = UniqueFd(ends[1])};
}

// Runs in the child: its error goes into the pipe.
[[noreturn]] void finish(const UniqueFd& pipe, const Result<>& done) {
  if (done) ::_exit(0);
  (void)os::write_all(pipe.get(), done.error().message.data(), done.error().message.size());
  ::_exit(1);
}

std::string read_to_end(const UniqueFd& pipe) {
  std::string text;
  char chunk[4096];
  for (;;) {
    const ssize_t got = ::read(pipe.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return text;
    text.append(chunk, static_cast<size_t>(got));
  }
}

Result<> become(const std::vector<std::string>& argv) {
  GODWIT_TRY(enter_node());
  GODWIT_TRY(leave_pods_cgroups());
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (::prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return fail_errno("prctl");
  return std::unexpected(os::become(argv));
}

}  // namespace

Result<> enter_node() {
  UniqueFd opened[std::size(namespaces)];
  for (size_t i = 0; i < std::size(namespaces); ++i) {
    GODWIT_ASSIGN(opened[i], os::open_file(fmt::format("/proc/1/ns/{}", namespaces[i].first), O_RDONLY));
  }
  for (size_t i = 0; i < std::size(namespaces); ++i) {
    if (::setns(opened[i].get(), namespaces[i].second) != 0) {
      return fail_errno("enter the node's {} namespace (is the pod privileged, with the node's process ids?)",
                        namespaces[i].first);
    }
  }
  if (::chdir("/") != 0) return fail_errno("enter the node's root directory");
  ::putenv(const_cast<char*>(node_path));
  return {};
}

Result<> on_node(const std::function<Result<>()>& work) {
  GODWIT_ASSIGN(Pipe pipe, make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) {
    Result<> done = enter_node();
    if (done) done = work();
    finish(pipe.write, done);
  }
  pipe.write.reset();
  const std::string error = read_to_end(pipe.read);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail("{}", error.empty() ? fmt::format("the work on the node ended with status {:#x}", status) : error);
}

Result<pid_t> start_on_node(const std::vector<std::string>& argv) {
  GODWIT_ASSIGN(Pipe pipe, make_pipe());
  const pid_t child = ::fork();
  if (child < 0) return fail_errno("fork");
  if (child == 0) finish(pipe.write, become(argv));
  pipe.write.reset();
  const std::string error = read_to_end(pipe.read);
  if (error.empty()) return child;
  ::waitpid(child, nullptr, 0);
  return fail("{}", error);
}

std::string seen_from_node(pid_t pid, const std::string& directory) {
  return fmt::format("/proc/{}/root{}", pid, directory);
}

}  // namespace godwit::install
