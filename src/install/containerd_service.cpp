#include "install/containerd_service.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <charconv>
#include <sstream>
#include <thread>
#include <vector>

#include "base/log.h"
#include "install/cgroups.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::install {
namespace {

constexpr const char* default_config = "/etc/containerd/config.toml";
constexpr auto poll_interval = milliseconds(100);

bool answers(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof address.sun_path) return false;
  socket_path.copy(address.sun_path, socket_path.size());
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return socket && ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

// Where a container of another node-in-a-node runs a containerd of its own, that is not ours.
bool in_our_namespaces(pid_t pid) {
  for (const char* name : {"pid", "mnt"}) {
    const auto own = os::read_link(fmt::format("/proc/self/ns/{}", name));
    const auto other = os::read_link(fmt::format("/proc/{}/ns/{}", pid, name));
    if (!own || !other || *own != *other) return false;
  }
  return true;
}

}  // namespace

std::string config_path_of(const std::string& command_line) {
  std::istringstream words(command_line);
  for (std::string word; std::getline(words, word, '\0');) {
    for (const std::string flag : {"--config", "-c", "-config"}) {
      if (word.starts_with(flag + "=")) return word.substr(flag.size() + 1);
      if (word == flag && std::getline(words, word, '\0')) return word;
    }
  }
  return default_config;
}

Result<Containerd> find_containerd() {
  GODWIT_ASSIGN(const std::vector<std::string> entries, os::list_directory("/proc"));
  std::vector<Containerd> found;
  for (const std::string& entry : entries) {
    pid_t pid = 0;
    if (std::from_chars(entry.data(), entry.data() + entry.size(), pid).ptr != entry.data() + entry.size()) continue;
    const auto comm = os::read_file("/proc/" + entry + "/comm");
    if (!comm || *comm != "containerd\n" || !in_our_namespaces(pid)) continue;
    const auto program = os::read_link("/proc/" + entry + "/exe");
    const auto command_line = os::read_file("/proc/" + entry + "/cmdline");
    if (!program || !command_line) continue;  // it has ended
    found.push_back({.pid = pid, .program = *program, .config_path = config_path_of(*command_line)});
  }
  if (found.size() > 1) return fail("{} processes named containerd run on this node", found.size());
  if (found.empty())
    return fail("no containerd runs on this node: Godwit needs it, and knows no other container engine");
  return found.front();
}

Result<Effective> ask_containerd(const Containerd& containerd, Deadline deadline) {
  GODWIT_ASSIGN(
      const os::Output dump,
      os::run({.argv = {containerd.program, "--config", containerd.config_path, "config", "dump"}}, deadline));
  if (dump.status != 0) return fail("{} cannot be read: {}", containerd.config_path, dump.text);
  // Warnings come first, on the same stream.
  const size_t begin = dump.text.starts_with("version") ? 0 : dump.text.find("\nversion");
  if (begin == std::string::npos) return fail("containerd tells no configuration that Godwit understands");
  return read_effective(dump.text.substr(begin));
}

std::string unit_of(const std::string& cgroup) {
  std::istringstream lines(cgroup);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream parts(line.substr(line.rfind(':') + 1));
    std::string unit;
    for (std::string part; std::getline(parts, part, '/');) {
      if (part.ends_with(".service")) unit = part;
    }
    if (!unit.empty()) return unit;
  }
  return "";
}

Result<> restart_containerd(const Containerd& containerd, const std::string& command, const std::string& socket,
                            Deadline deadline) {
  std::vector<std::string> argv = {"/bin/sh", "-c", command};
  if (command.empty()) {
    const std::string unit = unit_of(os::read_file(fmt::format("/proc/{}/cgroup", containerd.pid)).value_or(""));
    if (!os::exists("/run/systemd/system") || unit.empty()) {
      return fail(
          "containerd must be restarted, but systemd does not run it: say how (in the chart, containerd.restart)");
    }
    argv = {"systemctl", "restart", unit};
  }
  // What the operator's command starts in the background shall not end with this pod.
  if (!command.empty()) GODWIT_TRY(join_cgroups_of(containerd.pid));
  log_info("restarting containerd: {}", command.empty() ? "systemctl restart " + argv.back() : command);
  GODWIT_TRY(
      os::run_checked({.argv = argv, .environment = {fmt::format("CONTAINERD_PID={}", containerd.pid)}}, deadline));
  for (;;) {
    const auto now = find_containerd();
    if (now && now->pid != containerd.pid && answers(socket)) return {};
    if (deadline.expired()) return fail("containerd did not come back at {}", socket);
    std::this_thread::sleep_for(poll_interval);
  }
}

}  // namespace godwit::install
