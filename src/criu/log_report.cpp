#include "criu/log_report.h"

#include <algorithm>
#include <array>
#include <vector>

#include "os/file.h"

namespace godwit::criu {
namespace {

constexpr size_t last_lines_max = 4;
constexpr size_t log_bytes_max = 64U << 20;

struct Known {
  std::string_view pattern;  // of an error line
  std::string_view also;     // and this in the same line, if not empty
  std::string_view cause;
  bool passing = false;
};

// criu's words as of 4.2; a line that is not known here still reaches the operator as it is.
constexpr std::array known_errors{
    Known{"[io_uring]", "", "a process uses io_uring, which cannot be moved; switch it off in the program"},
    Known{"[userfaultfd]", "",
          "a process uses userfaultfd itself (a garbage collector or another migration), which cannot be moved"},
    Known{"proto 262", "",
          "a socket uses MPTCP, which cannot be moved; for Go programs set GODEBUG=multipathtcp=0 and restart them"},
    Known{"In-flight connection (l)", "", "a TCP connection waits to be accepted", true},
    Known{"Unknown inet socket", "state", "a TCP connection is half open", true},
    Known{"Non-empty write queue on an in-flight socket", "",
          "a unix socket connection that waits to be accepted holds data already", true},
    Known{"In-flight connection on non-listening socket", "", "a unix socket connection waits to be accepted", true},
    Known{"Found a closed in-flight socket", "", "a unix socket connection was closed before it was accepted", true},
    Known{"corked dgram socket", "", "a UDP socket is corked", true},
    Known{"zombie", "found while seizing", "a process was just ending", true},
    Known{"exited with", "unexpectedly", "a process was just ending", true},
    Known{
        "Found dangling tty", "",
        "a process has a terminal whose other end is outside of the container; start the container without a terminal"},
    Known{
        "don't have a proper tty", "",
        "a process has a terminal whose other end is outside of the container; start the container without a terminal"},
    Known{
        "dangling slave", "",
        "a process has a terminal whose other end is outside of the container; start the container without a terminal"},
    Known{"External socket is used", "", "a unix socket is connected to a process outside of the container; close it"},
    Known{"Can't dump half of stream unix connection", "",
          "a unix socket is connected to a process outside of the container; close it"},
    Known{"Can't lookup mount=", "",
          "a file outside of the container is open in it; standard input and output must be pipes or /dev/null"},
    Known{"Open files on overmounted mounts", "", "a file below a mount that hides it is open"},
    Known{"Can't create link remap", "",
          "a file that was removed is open, and another hard link to it still exists; close it"},
    Known{"increase limit", "", "an open file without a name is larger than what travels with the images"},
    Known{"Unsupported proto", "", "a socket of a protocol that criu cannot move is open"},
    Known{"inet socket", "Only stream, dgram", "a socket of a type that criu cannot move is open (SCTP, DCCP)"},
    Known{"Can't dump file", "of that type", "a file of a kind that criu cannot move is open"},
    Known{"Can't dump nested", "namespace", "a process made namespaces of its own inside the container"},
    Known{"Nested mount namespaces", "", "a process made a mount namespace of its own inside the container"},
    Known{"Strange file mapped", "", "a device is mapped into the memory of a process"},
    Known{"Can't handle non-regular mapping", "", "a device or special file is mapped into the memory of a process"},
    Known{"Unsupported mapping found", "", "a device is mapped into the memory of a process"},
    Known{"uprobes vma", "", "a process is being probed with uprobes; stop the tracing"},
    Known{"The packetized mode for pipes", "", "a pipe in packet mode (O_DIRECT) is open"},
    Known{"unsupported id", "FS mnt", "a file system of a kind that criu does not know is mounted in the container"},
    Known{"Zombies with threads", "", "a process is just ending", true},
    Known{"Individually stopped threads", "", "a single thread of a process was stopped by a debugger"},
    Known{"SEIZE", "", "a process is traced by another one (a debugger, strace); detach it"},
    Known{"has bad size", "", "a file that is open in the container differs at the destination"},
    Known{"has bad mode", "", "a file that is open in the container differs at the destination"},
    Known{"has bad build-ID", "", "a program or library of the container differs at the destination"},
    Known{"No mapping for", "mountpoint", "a mount of the container has no counterpart at the destination"},
    Known{"No space left on device", "", "the directory for criu's images is full"},
};

// criu prints this where limits cannot be raised, and goes on.
constexpr std::string_view harmless = "RLIMIT_NOFILE";

std::vector<std::string_view> error_lines(std::string_view log) {
  std::vector<std::string_view> errors;
  for (size_t start = 0; start < log.size();) {
    const size_t end = std::min(log.find('\n', start), log.size());
    const std::string_view line = log.substr(start, end - start);
    if (line.find("Error (") != std::string_view::npos && line.find(harmless) == std::string_view::npos)
      errors.push_back(line);
    start = end + 1;
  }
  return errors;
}

const Known* find_known(std::string_view line) {
  for (const Known& known : known_errors) {
    if (line.find(known.pattern) != std::string_view::npos &&
        (known.also.empty() || line.find(known.also) != std::string_view::npos))
      return &known;
  }
  return nullptr;
}

}  // namespace

LogReport report_log(std::string_view log) {
  LogReport report;
  const std::vector<std::string_view> errors = error_lines(log);
  for (const std::string_view line : errors) {
    if (const Known* known = find_known(line); known != nullptr) {
      report.cause = known->cause;
      report.passing = known->passing;
      break;
    }
  }
  const size_t first = errors.size() > last_lines_max ? errors.size() - last_lines_max : 0;
  for (size_t i = first; i < errors.size(); ++i) {
    if (!report.last_lines.empty()) report.last_lines += '\n';
    report.last_lines += errors[i];
  }
  return report;
}

LogReport report_log_file(const std::string& path) {
  const auto text = os::read_file(path, log_bytes_max);
  return text ? report_log(*text) : LogReport{};
}

}  // namespace godwit::criu
