// What the command line asks of the agent of its own node: one JSON object in one line over the unix socket
// (agent_socket_path, mode 0600: whoever may connect may move containers). One request a connection; the agent answers
// with events (events.h), during a migration at least one every 30 s, and closes after the `result`. A connection that
// ends early does not end a migration: `cancel` does.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/network_mode.h"
#include "base/result.h"

namespace godwit::agent {

constexpr const char* agent_socket_path = "/run/godwit/agent.sock";
constexpr uint16_t agent_port = 9876;

constexpr uint64_t lanes_max = 16;
constexpr uint64_t lanes_default = 2;
constexpr uint64_t iterations_max = 1000;
constexpr size_t pod_containers_max = 31;  // a session moves no more

// Limits of one migration; nullopt leaves the choice to the agent.
struct MigrateOptions {
  std::optional<uint64_t> bandwidth_bytes_per_s;
  std::optional<uint64_t> lanes;
  std::optional<uint64_t> page_store_bytes;  // RAM at the destination for pages that wait
  std::optional<double> deadline_ms;         // for the whole migration
  std::optional<uint64_t> iterations;        // pre-copy rounds at most
  std::optional<uint64_t> dirty_pages;       // freeze when a round finds no more changed pages than that
  std::optional<double> freeze_time_ms;      // pause to aim at
  bool be_done_soon = false;                 // rather than with the shortest pause
  NetworkMode network = NetworkMode::automatic;
  bool keep_tcp = true;  // if not, TCP connections are ended although the address is kept
};

struct MigrateRequest {
  std::string container;
  std::string to;       // "address:port" of the destination's agent
  std::string to_name;  // what the operator calls it; may be empty
  MigrateOptions options;
  std::string session = {};     // to be named so, for one who must know it before; empty: a new name
  std::string to_session = {};  // what it is called at the destination; empty: the same. A node that is both needs two
  // Of the destination's node, one of each family, for the pod's packets; empty: the one in `to`.
  std::vector<std::string> to_addresses = {};
  std::vector<std::string> companions = {};  // the other containers of its pod, which move with it
};
struct PsRequest {};
struct SessionsRequest {};
// Answered by the session's recorded events; the last is its own `result`, or, while it runs, one that says `unknown`.
// A `result` without a session: there is no such session.
struct InspectRequest {
  std::string session;
};
// Answered when the agent has taken note; the outcome is in the migration's own `result`.
struct CancelRequest {
  std::string session;
};

// Of the options, those of the rounds of copying count from the next round on. Answered like `cancel`.
struct ReconfigureRequest {
  std::string session;
  MigrateOptions options;
};

// The operator knows that the destination of a session that was handed over is dead for good. Answered like `cancel`.
struct AbandonRequest {
  std::string session;
  bool keep = false;  // the copy that is frozen here goes on; otherwise it is ended
};

// The pod of that container is about to be deleted, and the container is to outlive it: what its kubelet does to end it
// is without effect until it has moved, or is let go. Both can be repeated.
struct HoldRequest {
  std::string container;
  bool hold = true;  // otherwise: let go
};

// Addresses of pods that live on other nodes than those that gave them out. Answered by what this node knows of them
// then (events.h).
struct AddressesRequest {
  struct Route {
    std::string address;
    std::string via;  // of the node where it lives
    bool operator==(const Route&) const = default;
  };
  // Sandboxes that are gone, whose addresses are kept (network/address_book.h) and nobody has any more.
  std::vector<std::string> release = {};
  // Routes to make or to change (network/moved_routes.h), and addresses to have none any more.
  std::vector<Route> set_routes = {};
  std::vector<std::string> drop_routes = {};

  [[nodiscard]] bool asks_only() const { return release.empty() && set_routes.empty() && drop_routes.empty(); }
};

using Request = std::variant<MigrateRequest, PsRequest, SessionsRequest, InspectRequest, CancelRequest, AbandonRequest,
                             HoldRequest, ReconfigureRequest, AddressesRequest>;

// One line without its newline.
std::string encode_request(const Request& request);
Result<Request> decode_request(std::string_view line);

}  // namespace godwit::agent
