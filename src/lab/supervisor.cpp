#include "lab/supervisor.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <nlohmann/json.hpp>

#include "lab/layout.h"
#include "lab/place_server.h"
#include "os/fd_passing.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::lab {
namespace {

constexpr auto command_limit = std::chrono::seconds(15);
constexpr unsigned long place_namespaces = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;

void report(int socket, int index, const std::string& error) {
  const std::string text = nlohmann::json{{"place", index}, {"error", error.substr(0, report_bytes_max / 2)}}.dump(
      -1, ' ', false, nlohmann::json::error_handler_t::replace);
  [[maybe_unused]] const ssize_t sent = ::send(socket, text.data(), text.size(), MSG_NOSIGNAL);
}

// First thing in a forked place: nothing of the parent's descriptors but standard ones and `keep`, which becomes 3 and
// up; no signal but SIGKILL ends it.
void detach_from_parent(const std::string& name, const std::vector<int*>& keep) {
  ::prctl(PR_SET_NAME, name.c_str());
  for (int* fd : keep) *fd = ::fcntl(*fd, F_DUPFD_CLOEXEC, 100);
  int next = 3;
  for (int* fd : keep) *fd = ::dup3(*fd, next++, O_CLOEXEC);
  ::syscall(SYS_close_range, next, UINT_MAX, 0);
  sigset_t all;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, nullptr);
}

Result<> enter_namespaces(const SupervisorSetup& setup, int index) {
  {
    GODWIT_ASSIGN(const auto cgroup, open_cgroup(setup.hierarchies, place_cgroup(setup.plan.name, index)));
    if (!join_cgroup(cgroup)) return fail_errno("join the cgroups of {}", place_name(index));
  }
  if (::unshare(place_namespaces) != 0) return fail_errno("make namespaces (a lab needs root)");
  // The machine must not see our mounts, nor we its later ones.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return fail_errno("make mounts private");
  const std::string name = place_name(index);
  if (::sethostname(name.c_str(), name.size()) != 0) return fail_errno("set host name {}", name);
  for (const char* which : {"all", "default"}) {
    const std::string setting = fmt::format("/proc/sys/net/ipv6/conf/{}/disable_ipv6", which);
    if (os::exists(setting)) GODWIT_TRY(os::write_file(setting, "1"));
  }
  return {};
}

// A bridge that keeps its own address of both kinds whatever is plugged into it, and forwards at once.
std::string bridge_commands(const std::string& bridge, int index) {
  return fmt::format(
      "link set lo up\n"
      "link add {0} address 02:0b:00:00:00:{1:02x} type bridge forward_delay 0 mcast_snooping 0\n"
      "addr add {2}/{3} dev {0}\n"
      "link set {0} up\n",
      bridge, index, place_address(index), prefix_bits);
}

struct NodeStart {
  pid_t pid = -1;
  UniqueFd sync;  // from the node: one byte "namespaces made"; to the node: one byte "cable plugged in"
};

Result<> mount_kept_disk(const SupervisorSetup& setup, int index, int disk) {
  const std::string target = disk_directory(setup.plan.name, index);
  GODWIT_TRY(os::make_directories(target, 0755));
  if (::syscall(SYS_move_mount, disk, "", AT_FDCWD, target.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return fail_errno("mount the disk of {}", place_name(index));
  }
  ::close(disk);
  return {};
}

Result<> node_steps(const SupervisorSetup& setup, int index, int sync, int disk) {
  GODWIT_TRY(enter_namespaces(setup, index));
  if (disk >= 0) GODWIT_TRY(mount_kept_disk(setup, index, disk));
  char byte = 'n';
  GODWIT_TRY(os::write_all(sync, &byte, 1));
  // The supervisor answers, or dies and takes us along: this wait needs no limit.
  GODWIT_TRY(os::read_exact(sync, &byte, 1));
  GODWIT_TRY(run_ip(bridge_commands("br0", index) + "link set uplink master br0 up\n"));
  return enter_place_root(setup.plan, setup.places[static_cast<size_t>(index)], setup.hierarchies);
}

// Forks into a new pid namespace, while later children of this process stay in its own.
template <typename Child>
Result<pid_t> fork_into_pid_namespace(Child child) {
  GODWIT_ASSIGN(const UniqueFd own, os::open_file("/proc/self/ns/pid", O_RDONLY));
  if (::unshare(CLONE_NEWPID) != 0) return fail_errno("make a pid namespace (a lab needs root)");
  const pid_t pid = ::fork();
  if (pid == 0) child();
  const int code = errno;
  if (::setns(own.get(), CLONE_NEWPID) != 0) return fail_errno("return to the own pid namespace");
  errno = code;
  if (pid < 0) return fail_errno("fork");
  return pid;
}

Result<NodeStart> start_node(const SupervisorSetup& setup, int index, int report_socket) {
  GODWIT_ASSIGN(os::SocketPair sync, os::seqpacket_pair());
  NodeStart node{.pid = -1, .sync = std::move(sync.ours)};
  GODWIT_ASSIGN(node.pid, fork_into_pid_namespace([&] { node_main(setup, index, report_socket, sync.theirs.get()); }));
  return node;
}

Result<> supervisor_steps(const SupervisorSetup& setup, int report_socket) {
  GODWIT_TRY(enter_namespaces(setup, outside_index));
  // Before the nodes, which inherit this process's mounts.
  for (int index = 1; index <= setup.plan.nodes; ++index) GODWIT_TRY(mount_disk(setup.plan, index));
  std::vector<NodeStart> nodes;
  for (int index = 1; index <= setup.plan.nodes; ++index) {
    GODWIT_ASSIGN(NodeStart node, start_node(setup, index, report_socket));
    nodes.push_back(std::move(node));
  }
  std::string batch = bridge_commands("lab0", outside_index);
  for (int index = 1; index <= setup.plan.nodes; ++index) {
    const NodeStart& node = nodes[static_cast<size_t>(index) - 1];
    char byte = 0;
    // A node that fails has reported why, and ends, which ends this wait.
    if (!os::read_exact(node.sync.get(), &byte, 1)) return fail("{} did not come up", place_name(index));
    batch += cable_commands(index, node.pid);
  }
  GODWIT_TRY(run_ip(batch));
  for (const NodeStart& node : nodes) GODWIT_TRY(os::write_all(node.sync.get(), "p", 1));
  return enter_place_root(setup.plan, setup.places[outside_index], setup.hierarchies);
}

[[noreturn]] void supervisor_main(SupervisorSetup& setup, int report_socket) {
  // The nodes need no such signal: their pid namespaces end with the one that they are in, ours.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The nodes' listeners are passed on to them.
  std::vector<int> listeners;
  for (UniqueFd& listener : setup.listeners) listeners.push_back(listener.release());
  std::vector<int*> kept = {&report_socket};
  for (int& listener : listeners) kept.push_back(&listener);
  detach_from_parent(process_name(setup.plan.name, outside_index), kept);
  for (size_t i = 0; i < listeners.size(); ++i) setup.listeners[i].reset(listeners[i]);
  const auto done = supervisor_steps(setup, report_socket);
  report(report_socket, outside_index, done ? "" : done.error().message);
  if (!done) _exit(1);
  ::close(report_socket);
  UniqueFd own = std::move(setup.listeners[outside_index]);
  setup.listeners.clear();
  serve_place(std::move(own));
}

}  // namespace

void node_main(const SupervisorSetup& setup, int index, int report_socket, int sync) {
  int listener = setup.listeners[static_cast<size_t>(index)].get();
  int disk = setup.kept_disk.get();
  std::vector<int*> kept = {&report_socket, &sync, &listener};
  if (disk >= 0) kept.push_back(&disk);
  detach_from_parent(process_name(setup.plan.name, index), kept);
  const auto done = node_steps(setup, index, sync, disk);
  report(report_socket, index, done ? "" : done.error().message);
  if (!done) _exit(1);
  ::close(report_socket);
  ::close(sync);
  serve_place(UniqueFd(listener));
}

Result<> run_ip(const std::string& batch, const std::string& network_namespace) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  const UniqueFd reader(ends[0]);
  UniqueFd writer(ends[1]);
  if (::fcntl(writer.get(), F_SETPIPE_SZ, 1 << 16) < 0) return fail_errno("size of a pipe");
  GODWIT_TRY(os::write_all(writer.get(), batch.data(), batch.size()));
  writer.reset();
  os::Command command{.argv = {"ip", "-batch", "-"}, .network_namespace = network_namespace};
  command.descriptors.emplace_back(reader.get(), 0);
  GODWIT_TRY(os::run_checked(command, Deadline::after(command_limit)));
  return {};
}

std::string cable_commands(int index, pid_t pid) {
  return fmt::format("link add {0} type veth peer name uplink netns {1}\nlink set {0} master lab0 up\n",
                     uplink_name(index), pid);
}

Result<pid_t> start_supervisor(SupervisorSetup setup, int report_socket) {
  return fork_into_pid_namespace([&] { supervisor_main(setup, report_socket); });
}

}  // namespace godwit::lab
