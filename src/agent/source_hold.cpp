#include "agent/source_hold.h"

#include <thread>

#include "agent/source_container.h"
#include "base/log.h"
#include "criu/tcp_repair.h"
#include "os/procfs.h"

namespace godwit::agent {

Result<SourceHold> SourceHold::open(const SourceRecord& record) {
  GODWIT_ASSIGN(os::CgroupFreezer freezer, os::CgroupFreezer::at(record.freezer_directory));
  const std::string netns = fmt::format("/proc/{}/ns/net", record.init_pid);
  GODWIT_ASSIGN(network::Gate gate, network::Gate::open(netns, record.interface.name));
  GODWIT_ASSIGN(network::Announcer announcer,
                network::Announcer::open(netns, record.interface.name, record.interface.addresses));
  GODWIT_ASSIGN(network::NeighbourTable neighbours, network::NeighbourTable::open(netns, record.interface.name));
  return SourceHold(record.container, record.init_pid, std::move(freezer), std::move(gate), std::move(announcer),
                    std::move(neighbours));
}

Result<> SourceHold::freeze(Deadline deadline) {
  GODWIT_TRY(freezer_.freeze(deadline));
  return gate_.close_outgoing();
}

// A criu whose worker has died lets go of the tasks in good order, and puts its freeze back: only then it is our turn.
Result<> SourceHold::wait_untraced() const {
  const Deadline deadline = Deadline::after(std::chrono::seconds(3));
  for (;;) {
    bool traced = false;
    GODWIT_ASSIGN(const std::vector<pid_t> processes, os::cgroup_processes(freezer_.directory()));
    for (const pid_t pid : processes) {
      const auto status = os::read_status(pid);
      traced = traced || (status && status->tracer != 0);
    }
    if (!traced) return {};
    if (deadline.expired()) {
      log_warning("container '{}' is thawed although it is being traced", container_);
      return {};
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
}

Result<> SourceHold::let_go(Deadline deadline) {
  GODWIT_TRY(wait_untraced());
  // A criu that was killed in the middle leaves sockets that neither send nor answer.
  GODWIT_TRY(criu::end_tcp_repair(freezer_.directory()));
  GODWIT_TRY(freezer_.thaw(deadline));
  GODWIT_TRY(gate_.open_incoming());
  GODWIT_TRY(gate_.open_outgoing());
  return announcer_.send();
}

Result<> SourceHold::end(const AgentConfig& config) {
  return remove_container(config, container_, freezer_, init_pid_);
}

}  // namespace godwit::agent
