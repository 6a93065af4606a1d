// Orders to the agent of a node.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>

#include "agent/events.h"
#include "agent/requests.h"
#include "base/deadline.h"
#include "base/result.h"
#include "kube/client.h"
#include "transfer/tls.h"

namespace godwit::controller {

struct NodeAgent {
  std::string node;     // as its certificate names it
  std::string address;  // numeric
  uint16_t port = agent::agent_port;
  std::vector<std::string> addresses = {};  // one of each family, for packets of pods; may be empty
};

// Any thread may call it; `identity` must be that of agent::controller_name.
class AgentLink {
 public:
  explicit AgentLink(transfer::TlsIdentity identity) : identity_(std::move(identity)) {}

  // Orders are those of the leader with that fencing token from now on.
  void set_fence(int64_t sequence) const { fence_ = sequence; }
  // From now on; orders under way keep the one that they began with.
  void replace_identity(transfer::TlsIdentity identity);

  // Sends the order and gives each event to `on_event`, until the `result`, which it returns. Error: no answer, for
  // whatever reason: what became of the order is not known then. `stop` ends the waiting, not the order.
  Result<agent::ResultEvent> ask(const NodeAgent& node, const agent::Request& request,
                                 const std::function<void(const agent::Event&)>& on_event, Deadline deadline,
                                 const std::stop_token& stop) const;

  // As ask(), of an order whose result is all that matters.
  Result<agent::ResultEvent> tell(const NodeAgent& node, const agent::Request& request, Deadline deadline,
                                  const std::stop_token& stop) const {
    return ask(node, request, [](const agent::Event&) {}, deadline, stop);
  }

 private:
  [[nodiscard]] transfer::TlsIdentity identity() const;

  mutable std::mutex mutex_;
  transfer::TlsIdentity identity_;
  mutable std::atomic<int64_t> fence_ = 0;
};

// Where the node's agent is, as the node's object says. Error: no such node, or it has told no address.
Result<NodeAgent> find_agent(kube::Client& client, const std::string& node, const kube::Call& call);

}  // namespace godwit::controller
