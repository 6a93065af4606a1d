#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "agent/config.h"
#include "agent/source_record.h"
#include "base/result.h"
#include "network/announce.h"
#include "network/gate.h"
#include "network/neighbours.h"
#include "os/freezer.h"

namespace godwit::agent {

// A source's grip on its container: stop it, cut it off, let it go on, end it. Made from a record, so that it is the
// same for the worker that began a session and for one that recovers it. The worker's effect thread calls it.
class SourceHold {
 public:
  static Result<SourceHold> open(const SourceRecord& record);

  Result<> freeze(Deadline deadline);  // and packets that leave are stopped
  // Whom the container talks to; the destination is told, so that it need not ask around.
  Result<std::vector<network::Neighbour>> neighbours() { return neighbours_.read(); }
  Result<> cut_off() { return gate_.close_incoming(); }
  // Thaws, lets packets pass, announces the address. Can be repeated.
  Result<> let_go(Deadline deadline);
  // Bridges learn from what they hear, and a late word of the destination may have been heard after ours.
  Result<> announce() { return announcer_.send(); }
  // Ends the container and removes what it held on this node. Can be repeated.
  Result<> end(const AgentConfig& config);

  [[nodiscard]] const os::CgroupFreezer& freezer() const { return freezer_; }

 private:
  SourceHold(std::string container, pid_t init_pid, os::CgroupFreezer freezer, network::Gate gate,
             network::Announcer announcer, network::NeighbourTable neighbours)
      : container_(std::move(container)),
        init_pid_(init_pid),
        freezer_(std::move(freezer)),
        gate_(std::move(gate)),
        announcer_(std::move(announcer)),
        neighbours_(std::move(neighbours)) {}

  [[nodiscard]] Result<> wait_untraced() const;

  std::string container_;
  pid_t init_pid_;
  os::CgroupFreezer freezer_;
  network::Gate gate_;
  network::Announcer announcer_;
  network::NeighbourTable neighbours_;
};

}  // namespace godwit::agent
