#include "lab/lab.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fmt/format.h>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/log.h"
#include "lab/janitor.h"
#include "lab/layout.h"
#include "lab/messages.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::lab {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr auto stop_limit = std::chrono::seconds(40);
constexpr auto command_limit = std::chrono::seconds(15);

Result<bool> wait_readable(int fd, Deadline deadline) {
  pollfd ready{fd, POLLIN, 0};
  for (;;) {
    const int count = ::poll(&ready, 1, deadline.poll_timeout_ms());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("poll");
    return count > 0;
  }
}

Result<std::string> find_image(const std::string& wanted) {
  const std::string image = wanted.empty() ? built("image") : wanted;
  std::error_code error;
  const std::string path = fs::canonical(image, error).string();
  if (error || !os::exists(path + "/etc/os-release")) {
    return fail("there is no node image at {}: run tools/node-image.sh (or `make image`), which builds it", image);
  }
  if (path.find_first_of(":,\\") != std::string::npos) {
    return fail("the node image's path {} must not contain any of : , \\ (overlay mount options)", path);
  }
  return path;
}

// bin/.. of the running program.
Result<std::string> find_binaries(const std::string& wanted) {
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  const std::string path = wanted.empty() ? own.parent_path().parent_path().string() : wanted;
  if (!os::exists(path + "/bin/godwit-lab")) {
    return fail("there is no {}/bin/godwit-lab, which runs a lab: build the target godwit-lab", path);
  }
  return path;
}

std::string unused_name() {
  static std::atomic<int> count = 0;
  return fmt::format("lab-{}-{}", ::getpid(), ++count);
}

Result<> ask_janitor(int control, const std::string& request, Deadline deadline) {
  if (::send(control, request.data(), request.size(), MSG_NOSIGNAL) < 0) return fail_errno("ask the lab's janitor");
  GODWIT_ASSIGN(const bool answered, wait_readable(control, deadline));
  if (!answered) return fail("the lab's janitor did not answer in time");
  std::string answer(control_bytes_max, '\0');
  const ssize_t got = ::recv(control, answer.data(), answer.size(), 0);
  if (got < 0) return fail_errno("hear from the lab's janitor");
  answer.resize(static_cast<size_t>(got));
  const json parsed = json::parse(answer, nullptr, false);
  if (!parsed.is_object()) return fail("the lab's janitor died");
  if (const std::string error = parsed.value("error", ""); !error.empty()) return fail("{}", error);
  return {};
}

Result<UniqueFd> start_janitor(const LabPlan& plan) {
  GODWIT_ASSIGN(os::SocketPair control, os::seqpacket_pair());
  os::Command command{.argv = {plan.binaries + "/bin/godwit-lab", "janitor"}, .die_with_parent = false};
  command.descriptors.emplace_back(control.theirs.get(), janitor_socket);
  GODWIT_TRY(os::run_checked(command, Deadline::after(command_limit)));
  return std::move(control.ours);
}

// Processes, this one included, that are still in one of `namespaces`.
std::vector<std::string> processes_in(const std::vector<std::string>& namespaces) {
  std::vector<std::string> found;
  for (const std::string& pid : os::list_directory("/proc").value_or(std::vector<std::string>{})) {
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    // A dead process holds nothing; when it disappears is its parent's business.
    if (const auto status = os::read_file("/proc/" + pid + "/status"); !status || status->contains("State:\tZ"))
      continue;
    for (const char* type : {"net", "mnt", "pid"}) {
      const auto link = os::read_link(fmt::format("/proc/{}/ns/{}", pid, type));
      if (!link || std::ranges::find(namespaces, *link) == namespaces.end()) continue;
      const std::string command = os::read_file("/proc/" + pid + "/comm").value_or("?\n");
      found.push_back(
          fmt::format("process {} ({}) in its {} namespace", pid, command.substr(0, command.size() - 1), type));
      break;
    }
  }
  return found;
}

}  // namespace

Result<Lab> Lab::open(const std::string& name) {
  Lab lab;
  GODWIT_ASSIGN(lab.state_, read_state(name));
  GODWIT_ASSIGN(lab.janitor_, os::open_pidfd(lab.state_.janitor));
  for (size_t i = 0; i < lab.state_.places.size(); ++i) {
    const pid_t pid = lab.state_.places[i];
    // A node that has been killed stays in the list, without a process.
    auto pidfd = os::open_pidfd(pid);
    lab.places_.push_back(std::make_unique<Node>(name, lab.state_.plan.binaries + "/bin/godwit-lab",
                                                 static_cast<int>(i), pid, pidfd ? std::move(*pidfd) : UniqueFd()));
    for (const char* type : {"net", "mnt", "pid"}) {
      if (auto link = os::read_link(fmt::format("/proc/{}/ns/{}", pid, type))) lab.namespaces_.push_back(*link);
    }
  }
  return lab;
}

Result<Lab> Lab::attach(const std::string& name) {
  return open(name);
}

Result<Lab> Lab::start(const LabOptions& options) {
  if (::geteuid() != 0) return fail("a lab needs root");
  LabPlan plan{.name = options.name.empty() ? unused_name() : options.name, .nodes = options.nodes};
  plan.data_limit_bytes = options.data_limit_bytes;
  plan.start_limit_ms = static_cast<int>(options.start_limit.count());
  plan.binds = options.binds;
  GODWIT_TRY(check_name(plan.name));
  GODWIT_ASSIGN(plan.image, find_image(options.image));
  GODWIT_ASSIGN(plan.binaries, find_binaries(options.binaries));
  GODWIT_ASSIGN(UniqueFd control, start_janitor(plan));
  // The janitor's own limit comes first, and cleaning up after a failure takes a while.
  GODWIT_TRY(ask_janitor(control.get(), to_json(plan).dump(), Deadline::after(options.start_limit + stop_limit)));
  GODWIT_ASSIGN(Lab lab, open(plan.name));
  lab.control_ = std::move(control);
  lab.ends_with_us_ = true;
  return lab;
}

Lab& Lab::operator=(Lab&& other) noexcept {
  if (this != &other) {
    std::swap(ends_with_us_, other.ends_with_us_);
    std::swap(state_, other.state_);
    std::swap(control_, other.control_);
    std::swap(janitor_, other.janitor_);
    std::swap(places_, other.places_);
    std::swap(namespaces_, other.namespaces_);
  }
  return *this;
}

Lab::~Lab() {
  if (!ends_with_us_ || !control_) return;
  if (const auto stopped = stop(); !stopped) log_error("{}", stopped.error().message);
}

const Node& Lab::node(int index) const {
  GODWIT_CHECK(index >= 1 && index <= node_count());
  return *places_[static_cast<size_t>(index)];
}

Result<> Lab::set_cable(int index, const char* state) const {
  os::Command command{.argv = {"ip", "link", "set", uplink_name(node(index).index()), state}};
  command.network_namespace = outside().netns_path();
  GODWIT_TRY(os::run_checked(command, Deadline::after(command_limit)));
  return {};
}

Result<> Lab::cut_network(int index) {
  return set_cable(index, "down");
}

Result<> Lab::restore_network(int index) {
  return set_cable(index, "up");
}

Result<> Lab::kill_node(int index) {
  GODWIT_TRY(cut_network(index));
  GODWIT_ASSIGN(const auto hierarchies, find_hierarchies());
  const Deadline deadline = Deadline::after(command_limit);
  if (::syscall(SYS_pidfd_send_signal, node(index).pidfd(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH) {
    return fail_errno("kill {}", place_name(index));
  }
  // The first process ends when all others have, and a frozen one does not die.
  for (bool dead = false; !dead;) {
    thaw_cgroup(hierarchies, place_cgroup(name(), index));
    if (deadline.expired()) return fail("{} did not die in time", place_name(index));
    GODWIT_ASSIGN(dead, wait_readable(node(index).pidfd(), Deadline::after(milliseconds(10))));
  }
  return destroy_cgroup(hierarchies, place_cgroup(name(), index), deadline);
}

Result<> Lab::restart_node(int index) {
  const os::Command command{
      .argv = {state_.plan.binaries + "/bin/godwit-lab", "revive", name(), std::to_string(node(index).index())}};
  GODWIT_TRY(os::run_checked(command, Deadline::after(command_limit)));
  GODWIT_ASSIGN(Lab now, open(name()));
  state_ = now.state_;
  places_[static_cast<size_t>(index)] = std::move(now.places_[static_cast<size_t>(index)]);
  std::ranges::move(now.namespaces_, std::back_inserter(namespaces_));
  return {};
}

Result<> Lab::detach() {
  GODWIT_TRY(ask_janitor(control_.get(), "detach", Deadline::after(command_limit)));
  ends_with_us_ = false;
  return {};
}

Result<> Lab::stop() {
  ends_with_us_ = false;
  if (::syscall(SYS_pidfd_send_signal, janitor_.get(), SIGTERM, nullptr, 0) != 0 && errno != ESRCH) {
    return fail_errno("tell the janitor of lab \"{}\" to end it", name());
  }
  GODWIT_ASSIGN(const bool ended, wait_readable(janitor_.get(), Deadline::after(stop_limit)));
  if (!ended) return fail("lab \"{}\" did not end in time", name());
  // Does nothing, unless the janitor itself was killed.
  sweep_dead_labs();
  for (const Deadline deadline = Deadline::after(std::chrono::seconds(2));;) {
    std::vector<std::string> left = find_leftovers(name());
    std::ranges::move(processes_in(namespaces_), std::back_inserter(left));
    if (left.empty()) return {};
    // A process that has just ended can be seen until its parent has taken note.
    if (deadline.expired()) return fail("lab \"{}\" left behind: {}", name(), fmt::join(left, ", "));
    std::this_thread::sleep_for(milliseconds(10));
  }
}

}  // namespace godwit::lab
