#include "agent/preflight.h"

#include <sys/vfs.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string_view>

#include "os/file.h"
#include "os/procfs.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

struct Unmovable {
  std::string_view prefix;  // of what /proc/PID/fd/N points to
  const char* reason;
};

constexpr Unmovable unmovable_descriptors[] = {
    {"anon_inode:[io_uring]",
     "uses io_uring, which cannot be restored; deny it by seccomp, as container engines do by default (programs then "
     "use another interface), or switch it off in the program"},
    {"anon_inode:[userfaultfd]", "uses userfaultfd itself, which cannot be restored"},
    {"anon_inode:[perf_event]", "has performance counters open; stop its profiler first"},
    {"anon_inode:bpf", "has BPF objects open, which cannot be restored"},
    {"anon_inode:kvm", "runs virtual machines (KVM); migrate those by their own means"},
    {"anon_inode:[fanotify]", "uses fanotify on mounts, which cannot be restored here"},
    {"anon_inode:[secretmem]", "uses secret memory (memfd_secret), which nobody may read"},
    {"/secretmem", "uses secret memory (memfd_secret), which nobody may read"},
    {"/dev/nvidia", "uses a GPU, whose memory cannot be moved"},
    {"/dev/kfd", "uses a GPU, whose memory cannot be moved"},
    {"/dev/dri/", "uses a GPU, whose memory cannot be moved"},
    {"/dev/infiniband/", "uses RDMA, whose connections cannot be moved"},
    {"/dev/kvm", "runs virtual machines (KVM); migrate those by their own means"},
    {"/dev/fuse", "serves a FUSE file system, which cannot be restored"},
    {"/dev/vfio/", "drives a device itself (VFIO), which cannot be moved"},
};

std::string process_name(pid_t pid) {
  auto name = os::read_file(fmt::format("/proc/{}/comm", pid));
  if (!name) return fmt::format("process {}", pid);
  while (!name->empty() && name->back() == '\n') name->pop_back();
  return fmt::format("process {} ({})", pid, *name);
}

void check_namespaces(const json& config, std::vector<Obstacle>& obstacles) {
  std::set<std::string> own;
  for (const json& space : config.value("/linux/namespaces"_json_pointer, json::array()))
    own.insert(space.value("type", ""));
  for (const auto& [type, what] : std::map<std::string, const char*>{{"pid", "process ids"},
                                                                     {"network", "network"},
                                                                     {"ipc", "IPC objects"},
                                                                     {"mount", "mounts"},
                                                                     {"uts", "host name"}}) {
    if (!own.contains(type))
      obstacles.emplace_back(fmt::format("the container shares the node's {} ({} namespace)", what, type));
  }
  if (own.contains("user")) {
    obstacles.emplace_back("the container has a user namespace of its own, which is not supported yet");
  }
}

void check_terminal(const json& config, std::vector<Obstacle>& obstacles) {
  if (config.value("/process/terminal"_json_pointer, false)) {
    obstacles.emplace_back("the container has a terminal (TTY), whose other end stays on this node; run it without -t");
  }
}

void check_descriptors(pid_t pid, std::vector<Obstacle>& obstacles) {
  const auto descriptors = os::read_descriptors(pid);
  if (!descriptors) return;  // it has ended
  std::set<std::string_view> found;
  for (const os::Descriptor& descriptor : *descriptors) {
    for (const Unmovable& unmovable : unmovable_descriptors) {
      if (descriptor.target.starts_with(unmovable.prefix) && found.insert(unmovable.prefix).second) {
        obstacles.emplace_back(fmt::format("{} {}", process_name(pid), unmovable.reason));
      }
    }
  }
}

// A process that came in from outside (runc exec, kubectl exec) is no descendant of the first one: it would be lost.
void check_family(const std::map<pid_t, pid_t>& parents, pid_t init_pid, std::vector<Obstacle>& obstacles) {
  for (const auto& [pid, parent] : parents) {
    pid_t at = pid;
    for (size_t steps = 0; at != init_pid && steps <= parents.size(); ++steps) {
      const auto next = parents.find(at);
      if (next == parents.end()) break;
      at = next->second;
    }
    if (at != init_pid) {
      obstacles.emplace_back(
          process_name(pid) + " was brought into the container from outside (exec) and would be lost; end it first",
          /*passes=*/true);
    }
  }
}

// Multipath TCP sockets in the container's network namespace, as /proc/PID/net/protocols counts them.
bool has_mptcp_sockets(pid_t pid) {
  const auto text = os::read_file(fmt::format("/proc/{}/net/protocols", pid));
  if (!text) return false;
  std::istringstream lines(*text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string protocol;
    long size = 0;
    long sockets = 0;
    if (words >> protocol >> size >> sockets && protocol.starts_with("MPTCP") && sockets > 0) return true;
  }
  return false;
}

}  // namespace

// criu makes a new file system of them, which is empty: those that no process has open just now would be lost unsaid.
Result<> check_no_message_queues(pid_t init_pid) {
  constexpr auto mqueue_magic = 0x19800202;  // ipc/mqueue.c of Linux; no header has it
  const std::string path = fmt::format("/proc/{}/root/dev/mqueue", init_pid);
  struct statfs file_system{};
  if (::statfs(path.c_str(), &file_system) != 0 || file_system.f_type != mqueue_magic) return {};
  const auto queues = os::list_directory(path);
  if (!queues || queues->empty()) return {};
  return fail("the container has POSIX message queues (/dev/mqueue/{}), which cannot be restored", queues->front());
}

Result<std::vector<Obstacle>> migration_obstacles(const json& config, pid_t init_pid,
                                                  const std::string& cgroup_directory) {
  std::vector<Obstacle> obstacles;
  check_namespaces(config, obstacles);
  check_terminal(config, obstacles);
  GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(cgroup_directory));
  std::map<pid_t, pid_t> parents;
  for (const pid_t pid : pids) {
    const auto status = os::read_status(pid);
    if (!status) continue;  // it has ended
    parents[pid] = status->parent;
    if (status->tracer != 0) {
      obstacles.emplace_back(
          fmt::format("{} is being debugged or traced by process {}", process_name(pid), status->tracer));
    }
    check_descriptors(pid, obstacles);
  }
  check_family(parents, init_pid, obstacles);
  if (auto none = check_no_message_queues(init_pid); !none) obstacles.emplace_back(none.error().message);
  if (has_mptcp_sockets(init_pid)) {
    obstacles.emplace_back(
        "the container has multipath TCP sockets, which cannot be restored; turn it off (Go programs: "
        "GODEBUG=multipathtcp=0)");
  }
  return obstacles;
}

Result<std::vector<std::string>> cpu_features() {
  GODWIT_ASSIGN(const std::string text, os::read_file("/proc/cpuinfo"));
  for (const char* key : {"flags", "Features"}) {
    const size_t line = text.find(std::string(key) + "\t");
    const size_t colon = line == std::string::npos ? line : text.find(':', line);
    if (colon == std::string::npos) continue;
    std::istringstream words(text.substr(colon + 1, text.find('\n', colon) - colon - 1));
    std::vector<std::string> features;
    for (std::string word; words >> word;) features.push_back(word);
    std::sort(features.begin(), features.end());
    return features;
  }
  return fail("/proc/cpuinfo does not list the features of the CPU");
}

std::vector<std::string> missing_cpu_features(const std::vector<std::string>& source) {
  const auto own = cpu_features();
  if (!own) return {};
  std::vector<std::string> wanted = source;
  std::sort(wanted.begin(), wanted.end());
  std::vector<std::string> missing;
  std::set_difference(wanted.begin(), wanted.end(), own->begin(), own->end(), std::back_inserter(missing));
  return missing;
}

}  // namespace godwit::agent
