#include "lab/revive.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/deadline.h"
#include "lab/layout.h"
#include "lab/messages.h"
#include "lab/place_server.h"
#include "lab/state.h"
#include "lab/supervisor.h"
#include "os/file.h"
#include "os/procfs.h"

namespace godwit::lab {
namespace {

using std::chrono::seconds;

constexpr auto revive_limit = seconds(10);

// One that has died has its name until its supervisor has noticed.
bool is_running(pid_t pid, const std::string& name) {
  const auto status = os::read_status(pid);
  const std::string there = os::read_file(fmt::format("/proc/{}/comm", pid)).value_or("");
  return status && status->state != 'Z' && there == name + "\n";
}

// The disk as "outside" keeps it, as a mount that is nowhere yet.
Result<UniqueFd> take_disk(pid_t outside, int index) {
  GODWIT_ASSIGN(const UniqueFd own, os::open_file("/proc/self/ns/mnt", O_RDONLY));
  GODWIT_ASSIGN(const UniqueFd theirs, os::open_file(fmt::format("/proc/{}/ns/mnt", outside), O_RDONLY));
  if (::setns(theirs.get(), CLONE_NEWNS) != 0) return fail_errno("enter the mounts of {}", place_name(outside_index));
  const std::string path = fmt::format("{}/{}", disks_in_outside, place_name(index));
  UniqueFd disk(
      static_cast<int>(::syscall(SYS_open_tree, AT_FDCWD, path.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  const int code = errno;
  if (::setns(own.get(), CLONE_NEWNS) != 0) return fail_errno("return to the own mounts");
  errno = code;
  if (!disk) return fail_errno("take the disk of {}", place_name(index));
  return disk;
}

// Of the node that is being started.
Result<Message> hear(int socket, Deadline deadline) {
  auto message = receive(socket, deadline);
  if (!message) return fail("the node did not come up in time");
  if (message->text.empty() || message->sender < 0) return fail("the node died while it came up");
  return message;
}

// A pid namespace can only be made in the one that the maker is in, so a first child enters the supervisor's, a second
// makes the node's there, and the third is the node. When the second ends, the supervisor becomes the node's parent.
Result<> fork_node(const SupervisorSetup& setup, pid_t outside, int index, int report_socket, int sync) {
  GODWIT_ASSIGN(const UniqueFd outer, os::open_file(fmt::format("/proc/{}/ns/pid", outside), O_RDONLY));
  const pid_t first = ::fork();
  if (first < 0) return fail_errno("fork");
  if (first == 0) {
    if (::setns(outer.get(), CLONE_NEWPID) != 0) _exit(1);
    const pid_t second = ::fork();
    if (second == 0) {
      if (::unshare(CLONE_NEWPID) != 0) _exit(1);
      const pid_t third = ::fork();
      if (third == 0) node_main(setup, index, report_socket, sync);
      _exit(third < 0 ? 1 : 0);
    }
    int status = 0;
    _exit(second > 0 && ::waitpid(second, &status, 0) == second && status == 0 ? 0 : 1);
  }
  int status = 0;
  while (::waitpid(first, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return fail("the first process of {} could not be started", place_name(index));
  return {};
}

// The killed node's cable goes with its network, which the kernel takes apart some time after its last process died.
Result<> plug_cable(const std::string& network, int index, pid_t pid, Deadline deadline) {
  for (;;) {
    (void)run_ip(fmt::format("link delete {}\n", uplink_name(index)), network);
    const auto plugged = run_ip(cable_commands(index, pid), network);
    if (plugged || deadline.expired()) return plugged;
    std::this_thread::sleep_for(milliseconds(20));
  }
}

Result<> revive(const std::string& name, int index) {
  const Deadline deadline = Deadline::after(revive_limit);
  GODWIT_ASSIGN(LabState state, read_state(name));
  if (index < 1 || index > state.plan.nodes) return fail("lab \"{}\" has no {}", name, place_name(index));
  const auto slot = static_cast<size_t>(index);
  if (is_running(state.places[slot], process_name(name, index))) return fail("{} is running", place_name(index));
  const pid_t outside = state.places[outside_index];
  SupervisorSetup setup{.plan = state.plan};
  GODWIT_ASSIGN(setup.hierarchies, find_hierarchies());
  GODWIT_TRY(create_cgroup(setup.hierarchies, place_cgroup(name, index)));
  setup.places.resize(slot + 1);
  setup.listeners.resize(slot + 1);
  GODWIT_ASSIGN(setup.places[slot], read_identity_file(name, index));
  GODWIT_TRY(os::remove_tree(place_socket(name, index)));
  GODWIT_ASSIGN(setup.listeners[slot], listen_at(place_socket(name, index)));
  GODWIT_ASSIGN(setup.kept_disk, take_disk(outside, index));
  GODWIT_ASSIGN(os::SocketPair reports, pair_with_senders());
  GODWIT_ASSIGN(os::SocketPair sync, pair_with_senders());
  GODWIT_TRY(fork_node(setup, outside, index, reports.theirs.get(), sync.theirs.get()));
  reports.theirs.reset();
  sync.theirs.reset();
  const auto has_namespaces = hear(sync.ours.get(), deadline);
  if (has_namespaces) {
    GODWIT_TRY(plug_cable(fmt::format("/proc/{}/ns/net", outside), index, has_namespaces->sender, deadline));
    GODWIT_TRY(os::write_all(sync.ours.get(), "p", 1));
  }
  GODWIT_ASSIGN(const Message report, hear(reports.ours.get(), deadline));
  const auto json = nlohmann::json::parse(report.text, nullptr, false);
  if (const std::string error = json.is_object() ? json.value("error", "") : "nonsense"; !error.empty()) {
    return fail("{}: {}", place_name(index), error);
  }
  state.places[slot] = report.sender;
  return write_state(state);
}

}  // namespace

int revive_main(const std::vector<std::string>& arguments) {
  ::signal(SIGPIPE, SIG_IGN);
  int index = 0;
  if (arguments.size() != 2 ||
      std::from_chars(arguments[1].data(), arguments[1].data() + arguments[1].size(), index).ec != std::errc{}) {
    fmt::print(stderr, "godwit-lab: revive is for the lab's own use\n");
    return 2;
  }
  const auto done = revive(arguments[0], index);
  if (done) return 0;
  fmt::print(stderr, "{}\n", done.error().message);
  return 1;
}

}  // namespace godwit::lab
