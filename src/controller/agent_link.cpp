#include "controller/agent_link.h"

#include <array>

#include "agent/fence.h"
#include "agent/session_directory.h"
#include "controller/eligibility.h"
#include "transfer/connect_peer.h"

namespace godwit::controller {
namespace {

constexpr auto connect_time = std::chrono::seconds(5);
// Longer than an agent is quiet during a migration.
constexpr auto silence_max = std::chrono::seconds(45);

}  // namespace

void AgentLink::replace_identity(transfer::TlsIdentity identity) {
  const std::lock_guard lock(mutex_);
  identity_ = std::move(identity);
}

transfer::TlsIdentity AgentLink::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

Result<agent::ResultEvent> AgentLink::ask(const NodeAgent& node, const agent::Request& request,
                                          const std::function<void(const agent::Event&)>& on_event, Deadline deadline,
                                          const std::stop_token& stop) const {
  GODWIT_ASSIGN(const std::string id, agent::SessionDirectory::new_id());
  auto stream = transfer::connect_peer({.address = node.address, .port = node.port},
                                       {.session = id, .role = transfer::Role::command}, identity(), node.node,
                                       Deadline::after(connect_time).sooner(deadline));
  if (!stream) return std::unexpected(std::move(stream.error()).context("agent of node " + node.node));
  const std::stop_callback end(stop, [&] { (*stream)->shutdown(); });
  const std::string line = agent::fence_line(fence_) + "\n" + agent::encode_request(request) + "\n";
  GODWIT_TRY((*stream)->write(line.data(), line.size()));
  GODWIT_TRY((*stream)->flush());
  std::string received;
  std::array<char, 16384> chunk;
  for (;;) {
    GODWIT_ASSIGN(const size_t got,
                  (*stream)->read_some(chunk.data(), chunk.size(), Deadline::after(silence_max).sooner(deadline)));
    if (got == 0) return fail("the agent of node {} went away before it said how it ended", node.node);
    received.append(chunk.data(), got);
    for (size_t end_of_line; (end_of_line = received.find('\n')) != std::string::npos;) {
      GODWIT_ASSIGN(const agent::Event event, agent::decode_event(received.substr(0, end_of_line)));
      received.erase(0, end_of_line + 1);
      if (const auto* result = std::get_if<agent::ResultEvent>(&event)) return *result;
      on_event(event);
    }
    if (received.size() > agent::event_line_bytes_max) return fail("the agent of node {} sends no lines", node.node);
  }
}

Result<NodeAgent> find_agent(kube::Client& client, const std::string& node, const kube::Call& call) {
  GODWIT_ASSIGN(const nlohmann::json object, client.get({kube::resources::nodes, "", node, ""}, call));
  const std::string address = internal_address(object);
  if (address.empty()) return fail("node {} has no internal address", node);
  return NodeAgent{.node = node, .address = address, .addresses = internal_addresses(object)};
}

}  // namespace godwit::controller
