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

#include "base/result.h"

namespace godwit::agent {

constexpr const char* agent_socket_path = "/run/godwit/agent.sock";
constexpr uint16_t agent_port = 9876;

constexpr uint64_t lanes_max = 16;
constexpr uint64_t lanes_default = 2;
constexpr uint64_t iterations_max = 1000;

// Limits of one migration; nullopt leaves the choice to the agent.
struct MigrateOptions {
  std::optional<uint64_t> bandwidth_bytes_per_s;
  std::optional<uint64_t> lanes;
  std::optional<uint64_t> page_store_bytes;  // RAM at the destination for pages that wait
  std::optional<double> deadline_ms;         // for the whole migration
  std::optional<uint64_t> iterations;        // pre-copy rounds at most
  std::optional<double> freeze_time_ms;      // pause to aim at
};

struct MigrateRequest {
  std::string container;
  std::string to;       // "address:port" of the destination's agent
  std::string to_name;  // what the operator calls it; may be empty
  MigrateOptions options;
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

using Request = std::variant<MigrateRequest, PsRequest, SessionsRequest, InspectRequest, CancelRequest>;

// One line without its newline.
std::string encode_request(const Request& request);
Result<Request> decode_request(std::string_view line);

}  // namespace godwit::agent
