// The source's half of the hand-over as a pure function: a state and an event give the next state and what is to be
// done. No clock, no I/O; src/agent executes the effects, the simulator beside it plays every fault against both
// halves.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "migration/messages.h"

namespace godwit::migration {

enum class SourcePhase : uint8_t {
  idle,
  preparing,     // until the destination is prepared; the container is untouched
  precopy,       // copying while it runs
  freezing,      // stopping its tasks
  yielding,      // frozen; until the destination has the address
  dumping,       // metadata and the last pages
  resuming,      // an attempt failed in passing: thawing, to copy and try again
  restoring,     // until the destination is ready
  recording,     // writing down that it is given away, before saying so
  given_away,    // GO is said: only the destination's word counts from here
  killing,       // it runs there: ending the frozen copy
  rolling_back,  // thawing it for good
  done,
};
std::string_view phase_name(SourcePhase phase);

enum class SourceEventKind : uint8_t {
  start,
  prepared,          // message
  converged,         // effect copy: another round would not help
  frozen,            // effect freeze
  address_taken,     // message
  dumped,            // effect dump: everything is with the destination but the word to restore
  ready,             // message
  recorded,          // effect record_given_away
  running,           // message
  refused,           // message; of the destination as it was at `prepared`
  peer_rebooted,     // an answer came from a destination that was restarted since `prepared`
  killed,            // effect kill_copy
  rolled_back,       // effect roll_back or resume_copy
  failed,            // the effect under way failed
  failed_transient,  // likewise, and another attempt may succeed (a connection in an odd state)
  peer_lost,         // the connection broke
  timer,             // the timer of this phase
  cancel,            // the operator's wish
  restarted,         // first event after a crash: the record says that it was not given away
  restarted_given_away,
  // The operator's word that the destination's node is dead and will not come back, with what shall become of the
  // frozen copy. Nothing here can check it, so only a person may say it.
  abandoned_keep,  // it goes on here, as it was at the freeze
  abandoned_end,
};
std::string_view event_name(SourceEventKind kind);

struct SourceEvent {
  SourceEventKind kind = SourceEventKind::start;
  uint32_t epoch = 0;  // of a message
  std::string reason;  // of failed, refused, cancel, peer_lost
};

enum class SourceEffectKind : uint8_t {
  prepare,            // connect and send `prepare` -> prepared | refused | failed
  copy,               // copy memory and files, round by round -> converged | failed
  stop_copy,          // end the copying under way; no answer
  freeze,             // freeze all tasks; stop packets that leave -> frozen | failed
  dump,               // stop packets that arrive; dump metadata; send the last pages, files, images -> dumped | failed
  record_given_away,  // -> recorded | failed
  send,               // `message`; no answer; a connection that is gone is reported by peer_lost
  query,              // connect anew and send `query` -> running | refused | peer_rebooted, or nothing until the timer
  kill_copy,          // end the frozen tasks, release what they held -> killed | failed
  roll_back,          // take back the record, thaw, let packets pass, announce the address -> rolled_back | failed
  resume_copy,        // the same, but there is no record yet, and tracking goes on -> rolled_back | failed
  start_timer,        // (re)starts the one timer with the limit of `timer`
  stop_timer,
  too_late,       // tell the operator that the wish to cancel came after the hand-over
  finish_moved,   // the end: it runs at the destination
  finish_stayed,  // the end: it runs here; `reason` in the state
  finish_lost,    // the end: given away to a node that died with it
};

enum class SourceTimer : uint8_t {
  prepare,  // connecting and preparing
  copy,     // what the operator allows for the whole migration
  freeze,   // from the freeze to GO: the longest that the clients are made to wait for nothing
  ask,      // between queries
  retry,    // between tries to kill or to thaw
};

struct SourceEffect {
  SourceEffectKind kind = SourceEffectKind::prepare;
  MessageKind message = MessageKind::prepare;  // of send
  SourceTimer timer = SourceTimer::prepare;    // of start_timer
};

struct SourceState {
  SourcePhase phase = SourcePhase::idle;
  uint32_t epoch = 0;       // attempts to freeze so far
  bool was_frozen = false;  // at least once
  bool peer_died = false;   // after the hand-over, and the container with it
  std::string reason;       // why it failed; empty so far
};

struct SourceStep {
  SourceState state;
  std::vector<SourceEffect> effects;  // in this order
};

// Attempts to freeze in one session, before it fails for good.
constexpr uint32_t freeze_attempts_max = 3;

// Events that have no meaning in a phase (late, doubled, of another epoch) change nothing.
SourceStep step(const SourceState& state, const SourceEvent& event);

}  // namespace godwit::migration
