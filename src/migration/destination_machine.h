// The destination's half of the hand-over as a pure function, like source_machine.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "migration/messages.h"

namespace godwit::migration {

enum class DestinationPhase : uint8_t {
  idle,
  preparing,          // making the slot: network, files, page store
  receiving,          // pages and files arrive; the container runs at the source
  taking_address,     // announcing it, parking what arrives
  parked,             // the source is frozen and dumps
  restoring,          // runc and criu at work; every task stays stopped
  ready,              // restored and held by its freezer; the source may say GO
  recording_go,       // writing down that GO was said, before obeying it
  resuming,           // thawing, letting packets go
  running,            // it runs here; pages are still being handed to it
  recording_refusal,  // GO came but it cannot run: writing that down, before discarding
  discarding,         // removing all of it
  done_running,
  done_refused,
};
std::string_view phase_name(DestinationPhase phase);

enum class DestinationEventKind : uint8_t {
  prepare,          // message
  slot_made,        // effect make_slot
  take_address,     // message
  address_taken,    // effect take_address
  release_address,  // message
  restore,          // message
  restored,         // effect restore: everything is in place, every task held by the freezer
  go,               // message
  query,            // message, on a connection of its own
  recorded,         // effect record_go or record_refusal
  resumed,          // effect resume
  pages_placed,     // after resumed: all memory is where it belongs, nothing depends on the worker any more
  discarded,        // effect discard
  failed,           // the effect under way failed. Of resume: and every task is still held
  peer_lost,        // the connection broke
  timer,
  abort,              // message
  restarted,          // first event after a crash: no GO was recorded, or a refusal was
  restarted_held,     // GO was recorded, and the tasks are still held: the page store is gone with the crash
  restarted_running,  // GO was recorded, and the tasks were let go
};
std::string_view event_name(DestinationEventKind kind);

struct DestinationEvent {
  DestinationEventKind kind = DestinationEventKind::prepare;
  uint32_t epoch = 0;
  std::string reason;
};

enum class DestinationEffectKind : uint8_t {
  make_slot,        // -> slot_made | failed
  take_address,     // announce, park -> address_taken | failed
  release_address,  // drop what is parked, be silent again; no answer
  restore,          // -> restored | failed
  record_go,        // -> recorded | failed
  resume,           // open the gate, thaw, let parked and new packets pass -> resumed | failed (nothing was thawed)
  record_refusal,   // -> recorded | failed
  discard,          // close the gate, end what was restored, remove slot, pages, files -> discarded | failed
  send,             // `message` to the source, on its connection if there is one
  answer,           // `message` to the query that was just received
  start_timer,      // (re)starts the one timer with the limit of `timer`
  stop_timer,
  finish_running,
  finish_refused,
};

enum class DestinationTimer : uint8_t {
  restore,  // from the address on: how long a source may keep us holding things before we give up
  grace,    // ready, without a connection: for a query that stands for the GO that was lost
  retry,    // between tries to discard or to record
};

struct DestinationEffect {
  DestinationEffectKind kind = DestinationEffectKind::make_slot;
  MessageKind message = MessageKind::prepared;         // of send, answer
  DestinationTimer timer = DestinationTimer::restore;  // of start_timer
};

struct DestinationState {
  DestinationPhase phase = DestinationPhase::idle;
  uint32_t epoch = 0;  // the attempt under way
  std::string reason;  // why it was refused
};

struct DestinationStep {
  DestinationState state;
  std::vector<DestinationEffect> effects;
};

DestinationStep step(const DestinationState& state, const DestinationEvent& event);

}  // namespace godwit::migration
