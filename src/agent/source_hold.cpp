#include "agent/source_hold.h"

#include <algorithm>
#include <iterator>
#include <thread>

#include <nlohmann/json.hpp>

#include "agent/source_container.h"
#include "base/log.h"
#include "criu/tcp_repair.h"
#include "network/connections.h"
#include "network/moved_routes.h"
#include "os/file.h"
#include "os/procfs.h"

namespace godwit::agent {

using nlohmann::json;

namespace {

// A process that starts programs all the time is between two of them at one of so many moments.
constexpr int births_max = 50;
constexpr auto birth_time = std::chrono::milliseconds(2);

bool lives(const RecordedContainer& container) {
  return os::exists(fmt::format("/proc/{}", container.init_pid));
}

}  // namespace

Result<SourceHold> SourceHold::open(const SourceRecord& record) {
  std::vector<RecordedContainer> living;
  std::ranges::copy_if(record.containers, std::back_inserter(living), lives);
  if (living.empty()) return fail("container '{}' has ended", record.containers.front().name);
  std::vector<os::CgroupFreezer> freezers;
  for (const RecordedContainer& container : living) {
    GODWIT_ASSIGN(os::CgroupFreezer freezer, os::CgroupFreezer::at(container.freezer_directory));
    freezers.push_back(std::move(freezer));
  }
  const std::string netns = fmt::format("/proc/{}/ns/net", living.front().init_pid);
  GODWIT_ASSIGN(network::Gate gate, network::Gate::open(netns, record.interface.name));
  std::optional<network::LoopbackGate> loopback;
  if (record.containers.size() > 1) {
    GODWIT_ASSIGN(loopback, network::LoopbackGate::open(netns));
  }
  GODWIT_ASSIGN(network::Announcer announcer,
                network::Announcer::open(netns, record.interface.name, record.interface.addresses));
  GODWIT_ASSIGN(network::NeighbourTable neighbours, network::NeighbourTable::open(netns, record.interface.name));
  std::optional<network::AddressRoutes> routes;
  if (record.routed) {
    GODWIT_ASSIGN(routes, network::AddressRoutes::open(record.interface, gate.host_interface()));
  }
  return SourceHold(std::move(living), std::move(freezers), std::move(gate), std::move(loopback), std::move(announcer),
                    std::move(neighbours), std::move(routes));
}

Result<> SourceHold::freeze(Deadline deadline) {
  for (int attempt = 1;; ++attempt) {
    GODWIT_TRY(freeze_all(deadline));
    const auto born = check_nobody_is_born();
    if (born) return gate_.close_outgoing();
    if (attempt == births_max || deadline.expired()) return born;
    for (const os::CgroupFreezer& freezer : freezers_) GODWIT_TRY(freezer.thaw(deadline));
    std::this_thread::sleep_for(birth_time);
  }
}

// All are asked before any is waited for, so that they stop as close to each other as can be.
Result<> SourceHold::freeze_all(Deadline deadline) const {
  if (freezers_.size() > 1) {
    for (const os::CgroupFreezer& freezer : freezers_) GODWIT_TRY(freezer.begin_freeze());
  }
  for (const os::CgroupFreezer& freezer : freezers_) GODWIT_TRY(freezer.freeze(deadline));
  return {};
}

// What waits for its vfork() cannot be stopped by a tracer while what it waits for is frozen: criu would wait for both
// until it gives up.
Result<> SourceHold::check_nobody_is_born() const {
  for (const os::CgroupFreezer& freezer : freezers_) {
    GODWIT_ASSIGN(const std::vector<pid_t> processes, os::cgroup_processes(freezer.directory()));
    for (const pid_t pid : processes) {
      const auto waits = os::waits_for_vfork(pid);
      if (!waits || !*waits) continue;
      return std::unexpected(Error{fmt::format("process {} is starting another one all the time", pid), EAGAIN});
    }
  }
  return {};
}

// The routes come first: what is sent by them from now on is not lost, but held back there.
Result<> SourceHold::cut_off(const std::vector<network::HostRoute>& away) {
  if (routes_) GODWIT_TRY(routes_->lead_to(away));
  GODWIT_TRY(gate_.close_incoming());
  return loopback_ ? loopback_->close() : Result<>{};
}

void SourceHold::let_pass() const {
  if (!routes_) return;
  if (auto exempt = network::exempt_passing_packets(); !exempt) log_warning("{}", exempt.error().message);
}

void SourceHold::part_from_peers(bool same_address) {
  const std::string netns = fmt::format("/proc/{}/ns/net", containers_.front().init_pid);
  auto outcome = gate_.open_outgoing();
  if (outcome && !same_address) outcome = gate_.open_incoming();
  if (outcome) {
    const auto ended = network::end_connections(netns, {.listeners = !same_address, .udp = !same_address});
    if (ended) log_info("the peers of {} sockets are told", *ended);
    if (!ended) outcome = std::unexpected(ended.error());
  }
  if (same_address && outcome) outcome = gate_.close_outgoing();
  if (!outcome) log_warning("peers are not told that their connections have ended: {}", outcome.error().message);
}

Result<> SourceHold::check_frozen() const {
  for (const os::CgroupFreezer& freezer : freezers_) {
    GODWIT_ASSIGN(const os::CgroupFreezer::State state, freezer.state());
    if (state != os::CgroupFreezer::State::frozen) return fail("somebody thawed {}", freezer.directory());
  }
  return {};
}

// One of several; the last one's end is an error of whoever asks.
bool SourceHold::has_ended(const os::CgroupFreezer& freezer) const {
  return freezers_.size() > 1 && !os::exists(freezer.directory());
}

// A criu whose worker has died lets go of the tasks in good order, and puts its freeze back: only then it is our turn.
Result<> SourceHold::wait_untraced() const {
  const Deadline deadline = Deadline::after(std::chrono::seconds(3));
  for (;;) {
    bool traced = false;
    for (const os::CgroupFreezer& freezer : freezers_) {
      if (has_ended(freezer)) continue;
      GODWIT_ASSIGN(const std::vector<pid_t> processes, os::cgroup_processes(freezer.directory()));
      for (const pid_t pid : processes) {
        const auto status = os::read_status(pid);
        traced = traced || (status && status->tracer != 0);
      }
    }
    if (!traced) return {};
    if (deadline.expired()) {
      log_warning("container '{}' is thawed although it is being traced", containers_.front().name);
      return {};
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
}

// What one of several says into a closed gate is said again only a second later, so they are opened to each other
// first.
Result<> SourceHold::let_go(Deadline deadline) {
  GODWIT_TRY(wait_untraced());
  // A criu that was killed in the middle leaves sockets that neither send nor answer.
  for (const os::CgroupFreezer& freezer : freezers_) {
    if (has_ended(freezer)) continue;
    GODWIT_TRY(criu::end_tcp_repair(freezer.directory()));
  }
  if (loopback_) GODWIT_TRY(loopback_->open_again());
  for (const os::CgroupFreezer& freezer : freezers_) {
    if (has_ended(freezer)) continue;
    GODWIT_TRY(freezer.thaw(deadline));
  }
  if (routes_) GODWIT_TRY(routes_->lead_to_pod());
  GODWIT_TRY(gate_.open_incoming());
  GODWIT_TRY(gate_.open_outgoing());
  return announcer_.send();
}

Result<> SourceHold::end(const AgentConfig& config) {
  for (size_t i = 0; i < containers_.size(); ++i) {
    GODWIT_TRY(remove_container(config, containers_[i].name, freezers_[i], containers_[i].init_pid));
  }
  return {};
}

Result<> remove_ended_containers(const AgentConfig& config, const SourceRecord& record) {
  for (const RecordedContainer& container : record.containers) {
    const std::string state_path = config.runc_root + "/" + container.name + "/state.json";
    if (os::exists(state_path)) {
      GODWIT_ASSIGN(const std::string text, os::read_file(state_path));
      const json state = json::parse(text, nullptr, /*allow_exceptions=*/false);
      if (!state.is_object() || state.value("init_process_pid", 0) != container.init_pid) continue;
      GODWIT_TRY(end_by_name(config, container.name));
    }
    GODWIT_TRY(remove_container_place(config, container.name));
  }
  return {};
}

bool any_lives(const SourceRecord& record) {
  return std::ranges::any_of(record.containers, lives);
}

}  // namespace godwit::agent
