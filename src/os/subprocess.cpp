#include "os/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

extern char** environ;

namespace godwit::os {
namespace {

constexpr size_t output_bytes_max = 64 << 10;

// Everything the child needs, made before fork(2): after it only async-signal-safe calls are allowed.
struct Prepared {
  std::vector<char*> argv;
  std::vector<std::string> environment_text;
  std::vector<char*> environment;
  std::vector<UniqueFd> namespaces;
  UniqueFd null_device;
};

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return name;
  const char* path = std::getenv("PATH");
  std::string folders = path == nullptr ? "/usr/sbin:/usr/bin:/sbin:/bin" : path;
  for (size_t start = 0; start <= folders.size();) {
    size_t end = folders.find(':', start);
    if (end == std::string::npos) end = folders.size();
    const std::string candidate = folders.substr(start, end - start) + "/" + name;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
    start = end + 1;
  }
  return name;
}

[[noreturn]] void child_main(const Command& command, const Prepared& prepared, const char* program, int error_pipe,
                             pid_t parent) {
  const auto give_up = [&] {
    const int code = errno;
    [[maybe_unused]] const ssize_t written = ::write(error_pipe, &code, sizeof code);
    _exit(127);
  };
  if (command.die_with_parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) _exit(127);
  } else {
    ::setsid();
  }
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
  for (const UniqueFd& space : prepared.namespaces) {
    if (::setns(space.get(), 0) != 0) give_up();
  }
  if (!command.directory.empty() && ::chdir(command.directory.c_str()) != 0) give_up();
  // First to numbers that nothing uses, then to the wanted ones: a wanted number may be some other source.
  std::array<int, 16> parked{};
  for (size_t i = 0; i < command.descriptors.size(); ++i) {
    parked[i] = ::fcntl(command.descriptors[i].first, F_DUPFD, 200);
    if (parked[i] < 0) give_up();
  }
  for (int standard = 0; standard < 3; ++standard) ::dup2(prepared.null_device.get(), standard);
  const int error_copy = ::fcntl(error_pipe, F_DUPFD_CLOEXEC, 300);
  for (size_t i = 0; i < command.descriptors.size(); ++i) ::dup2(parked[i], command.descriptors[i].second);
  for (size_t i = 0; i < command.descriptors.size(); ++i) ::close(parked[i]);
  ::execve(program, prepared.argv.data(), prepared.environment.data());
  const int code = errno;
  [[maybe_unused]] const ssize_t written = ::write(error_copy, &code, sizeof code);
  _exit(127);
}

int exit_status(const siginfo_t& info) {
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

Result<UniqueFd> open_pidfd(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return fail_errno("open process {}", pid);
  return pidfd;
}

Result<Subprocess> Subprocess::start(const Command& command) {
  GODWIT_CHECK(!command.argv.empty() && command.descriptors.size() <= 16);
  Prepared prepared;
  for (const std::string& word : command.argv) prepared.argv.push_back(const_cast<char*>(word.c_str()));
  prepared.argv.push_back(nullptr);
  prepared.environment_text = command.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const std::string name = text.substr(0, text.find('=') + 1);
    bool replaced = false;
    for (const std::string& added : command.environment) replaced = replaced || added.starts_with(name);
    if (!replaced) prepared.environment_text.push_back(text);
  }
  for (std::string& text : prepared.environment_text) prepared.environment.push_back(text.data());
  prepared.environment.push_back(nullptr);
  std::vector<std::string> namespaces = command.namespaces;
  if (!command.network_namespace.empty()) namespaces.push_back(command.network_namespace);
  for (const std::string& path : namespaces) {
    prepared.namespaces.emplace_back(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!prepared.namespaces.back()) return fail_errno("open namespace {}", path);
  }
  prepared.null_device = UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!prepared.null_device) return fail_errno("open /dev/null");
  const std::string program = find_program(command.argv[0]);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) return fail_errno("fork for {}", command.argv[0]);
  if (pid == 0) child_main(command, prepared, program.c_str(), writer.get(), parent);
  writer.reset();
  Subprocess started(pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))));
  int code = 0;
  ssize_t got = 0;
  while ((got = ::read(reader.get(), &code, sizeof code)) < 0 && errno == EINTR) {
  }
  if (got > 0) {
    errno = code;
    return fail_errno("start {}", command.argv[0]);
  }
  return started;
}

Result<Subprocess> Subprocess::of_other(pid_t pid) {
  GODWIT_ASSIGN(UniqueFd pidfd, open_pidfd(pid));
  Subprocess other(pid, std::move(pidfd));
  other.ours_ = false;
  return other;
}

Subprocess& Subprocess::operator=(Subprocess&& other) noexcept {
  if (this != &other) {
    kill_and_wait();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    ours_ = other.ours_;
  }
  return *this;
}

Subprocess::~Subprocess() {
  kill_and_wait();
}

void Subprocess::kill_and_wait() {
  if (pid_ < 0) return;
  ::syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  while (ours_ && ::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  pidfd_.reset();
}

Result<int> Subprocess::wait(Deadline deadline) {
  if (pid_ < 0) return fail("no such program: it has been waited for already");
  for (;;) {
    pollfd ready{pidfd_.get(), POLLIN, 0};
    const int count = ::poll(&ready, 1, deadline.poll_timeout_ms());
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return fail("process {} did not end in time", pid_);
    break;
  }
  siginfo_t info{};
  if (ours_ && ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0)
    return fail_errno("wait for process {}", pid_);
  pid_ = -1;
  pidfd_.reset();
  return ours_ ? exit_status(info) : 0;
}

Result<Output> run(const Command& command, Deadline deadline) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  Command with_output = command;
  with_output.descriptors.emplace_back(writer.get(), 1);
  with_output.descriptors.emplace_back(writer.get(), 2);
  GODWIT_ASSIGN(Subprocess child, Subprocess::start(with_output));
  writer.reset();
  Output output;
  std::array<char, 8192> chunk;
  // Ends with the program, not with the pipe: a daemon that it left behind may hold the pipe open.
  for (bool ended = false; !ended;) {
    pollfd ready[2] = {{reader.get(), POLLIN, 0}, {child.pidfd(), POLLIN, 0}};
    const int count = ::poll(ready, 2, deadline.poll_timeout_ms());
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) return fail("{} did not end in time and was killed", command.argv[0]);
    ended = (ready[1].revents != 0);
    for (bool more = (ready[0].revents & POLLIN) != 0; more;) {
      const ssize_t got = ::read(reader.get(), chunk.data(), chunk.size());
      if (got > 0) output.text.append(chunk.data(), static_cast<size_t>(got));
      if (output.text.size() > output_bytes_max) output.text.erase(0, output.text.size() - output_bytes_max);
      pollfd again{reader.get(), POLLIN, 0};
      more = ended && got > 0 && ::poll(&again, 1, 0) > 0 && (again.revents & POLLIN) != 0;
    }
    if (ready[0].revents == POLLHUP && !ended) {
      GODWIT_ASSIGN(output.status, child.wait(deadline));
      return output;
    }
  }
  GODWIT_ASSIGN(output.status, child.wait(deadline));
  return output;
}

Result<std::string> run_checked(const Command& command, Deadline deadline) {
  GODWIT_ASSIGN(Output output, run(command, deadline));
  if (output.status != 0) {
    constexpr size_t shown_bytes = 600;
    const size_t start = output.text.size() > shown_bytes ? output.text.size() - shown_bytes : 0;
    return fail("{} failed with status {}: {}", command.argv[0], output.status, output.text.substr(start));
  }
  return std::move(output.text);
}

Error become(const std::vector<std::string>& argv) {
  std::vector<std::string> words = argv;
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  return {fmt::format("start {}: {}", argv[0], std::strerror(errno)), errno};
}

}  // namespace godwit::os
