// What an agent tells the command line: one JSON object a line over the unix socket, one stream for each request
// (requests.h), always ended by a `result`. The same events are kept with a session, so that `inspect` replays them.
//
// A line that does not decode is the sender's bug or a foreign program on the socket; the reader says so and stops.
// Unknown members are ignored, so that a newer agent can add some; unknown events are errors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/requests.h"
#include "base/result.h"

namespace godwit::agent {

constexpr size_t event_line_bytes_max = size_t{1} << 20;  // of one line, both directions
constexpr size_t event_text_bytes_max = 4096;             // of one string; longer ones are cut when encoded
constexpr size_t timeline_steps_max = 256;
constexpr size_t list_entries_max = 2048;  // containers or sessions in one reply

enum class Phase { prepare, pre_copy, freeze, restore, complete, failed };
std::string_view phase_name(Phase phase);  // "pre-copy"

// First event of a migration: what to name in `cancel` and `inspect`.
struct SessionEvent {
  std::string session;
  std::string container;
  std::string from;  // node names
  std::string to;
};

struct PhaseEvent {
  Phase phase = Phase::prepare;
  double at_ms = 0;  // since the request
};

// How far the running round is.
struct ProgressEvent {
  uint64_t round = 0;  // from 1
  uint64_t bytes_sent = 0;
  uint64_t bytes_total = 0;
};

// A finished round.
struct RoundEvent {
  uint64_t round = 0;  // from 1
  uint64_t dirty_pages = 0;
  uint64_t bytes = 0;       // of memory
  uint64_t wire_bytes = 0;  // after zero pages, duplicates and compression
  double seconds = 0;
  double rate_bytes_per_s = 0;    // of memory
  double predicted_pause_ms = 0;  // if it were frozen now
};

// Rounds that are not made, from `round` on, or one that came to nothing.
struct MissedRoundEvent {
  uint64_t round = 0;
  bool failed = false;
  std::string reason;
};

// A warning or a choice that the operator should know of, e.g. "does not converge: ...".
struct NoteEvent {
  std::string text;
};

struct TimelineStep {
  std::string name;
  double start_ms = 0;  // since the freeze; steps may overlap; negative if it began before
  double duration_ms = 0;
};

// What the pause consisted of, of both sides.
struct TimelineEvent {
  std::vector<TimelineStep> steps;
};

struct ContainerInfo {
  std::string name;
  std::string state;  // as runc has it: "running", "paused", "stopped", ...
  int64_t pid = 0;
  uint64_t memory_bytes = 0;
  std::string address;  // empty: it shares the node's
  std::string session;  // empty: takes part in no migration
};

// Answer to `ps`.
struct ContainersEvent {
  std::vector<ContainerInfo> containers;
};

struct SessionInfo {
  std::string session;
  std::string container;
  std::string role;  // "source" or "destination"
  std::string from;
  std::string to;
  Phase phase = Phase::prepare;
  double age_s = 0;     // since it began
  double pause_ms = 0;  // 0 while there was none
  std::string reason;   // of a failure
};

// Answer to `sessions`.
struct SessionsEvent {
  std::vector<SessionInfo> sessions;
};

// An address of this node's that is kept for a pod that lives elsewhere, or has ended there.
struct KeptAddressInfo {
  std::string sandbox;  // that it was given to, and that is gone
  std::vector<std::string> addresses;
};

// An address that a pod of this node has and this node did not give it (network/address_book.h).
struct GuestAddressInfo {
  std::string address;
  bool routed = false;
  std::string state;  // "arriving", "here", "leaving"
  bool operator==(const GuestAddressInfo&) const = default;
};

// Answer to `addresses`.
struct AddressesEvent {
  std::vector<KeptAddressInfo> kept;
  std::vector<GuestAddressInfo> guests;
  std::vector<AddressesRequest::Route> routes;  // to addresses that have moved, as they are on this node
};

// Last event of every stream. For requests other than `migrate` and `inspect` only ok, unknown and reason mean
// something.
struct ResultEvent {
  bool ok = false;
  // Whether it moved cannot be said: it was given away and the destination has not answered. Never set with `ok`.
  bool unknown = false;
  std::string session;
  std::string container;
  std::string from;
  std::string to;
  double pause_ms = 0;        // source frozen to destination resumed
  double client_gap_ms = 0;   // source frozen to the first packet that it sent there; 0: it had none to send
  uint64_t memory_bytes = 0;  // of the container
  uint64_t bytes_on_wire = 0;
  uint64_t rounds = 0;
  double frozen_during_precopy_ms = 0;
  bool rolled_back = false;  // it was frozen, and then thawed where it was
  bool lost = false;         // it runs on neither node any more
  std::string network = {};  // of a migration: "preserve" or "reconnect"; empty: it did not come so far
  std::string reason;        // empty if ok
};

using Event = std::variant<SessionEvent, PhaseEvent, ProgressEvent, RoundEvent, MissedRoundEvent, NoteEvent,
                           TimelineEvent, ContainersEvent, SessionsEvent, AddressesEvent, ResultEvent>;

// One line without its newline, within the limits above whatever the event holds (text is cut, lists end early, a
// number that is not finite becomes 0).
std::string encode_event(const Event& event);
Result<Event> decode_event(std::string_view line);

}  // namespace godwit::agent
