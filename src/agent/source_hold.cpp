#include "agent/source_hold.h"

#include "agent/source_container.h"
#include "criu/tcp_repair.h"

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

Result<> SourceHold::let_go(Deadline deadline) {
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
