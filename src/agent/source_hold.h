#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/source_record.h"
#include "base/result.h"
#include "network/address_routes.h"
#include "network/announce.h"
#include "network/gate.h"
#include "network/neighbours.h"
#include "os/freezer.h"

namespace godwit::agent {

// A source's grip on its container, or on all of a pod's as one: stop it, cut it off, let it go on, end it. Made from a
// record, so that it is the same for the worker that began a session and for one that recovers it. The worker's effect
// thread calls it.
class SourceHold {
 public:
  // Of several containers, those that have ended are left out, as long as one lives.
  static Result<SourceHold> open(const SourceRecord& record);

  // And packets that leave are stopped. Code EAGAIN: it could not be saved at any of the moments at which it was
  // frozen.
  Result<> freeze(Deadline deadline);
  // Whom the container talks to; the destination is told, so that it need not ask around.
  Result<std::vector<network::Neighbour>> neighbours() { return neighbours_.read(); }
  // What is for it goes to the destination from now on: by `away` where it is reached by routes. Packets that arrive
  // are stopped, and those between the containers of a pod: each is saved on its own, and what one has received after
  // it was saved, another would have sent before.
  Result<> cut_off(const std::vector<network::HostRoute>& away);
  // Thaws, lets packets pass, announces the address. Can be repeated.
  Result<> let_go(Deadline deadline);
  // Bridges learn from what they hear, and a late word of the destination may have been heard after ours.
  Result<> announce() { return announcer_.send(); }
  // Of one that runs at the destination: what passes through this node on its way there is let through.
  void let_pass() const;
  // Of one that runs at the destination and has another address there: its peers hear that their connections have
  // ended, and who tries to connect is refused. With the same address, which lives there: that they have ended, and no
  // more.
  void part_from_peers(bool same_address);
  // Ends the container and removes what it held on this node. Can be repeated.
  Result<> end(const AgentConfig& config);

  [[nodiscard]] Result<> check_frozen() const;

 private:
  SourceHold(std::vector<RecordedContainer> containers, std::vector<os::CgroupFreezer> freezers, network::Gate gate,
             std::optional<network::LoopbackGate> loopback, network::Announcer announcer,
             network::NeighbourTable neighbours, std::optional<network::AddressRoutes> routes)
      : containers_(std::move(containers)),
        freezers_(std::move(freezers)),
        gate_(std::move(gate)),
        loopback_(std::move(loopback)),
        announcer_(std::move(announcer)),
        neighbours_(std::move(neighbours)),
        routes_(std::move(routes)) {}

  [[nodiscard]] bool has_ended(const os::CgroupFreezer& freezer) const;
  [[nodiscard]] Result<> wait_untraced() const;
  Result<> freeze_all(Deadline deadline) const;
  [[nodiscard]] Result<> check_nobody_is_born() const;

  std::vector<RecordedContainer> containers_;  // these two of the same order
  std::vector<os::CgroupFreezer> freezers_;
  network::Gate gate_;
  std::optional<network::LoopbackGate> loopback_;  // of several
  network::Announcer announcer_;
  network::NeighbourTable neighbours_;
  std::optional<network::AddressRoutes> routes_;  // where pods are reached by routes
};

bool any_lives(const SourceRecord& record);
// What is left of containers whose processes are gone. Their names may belong to others meanwhile.
Result<> remove_ended_containers(const AgentConfig& config, const SourceRecord& record);

}  // namespace godwit::agent
