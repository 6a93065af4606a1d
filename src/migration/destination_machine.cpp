#include "migration/destination_machine.h"

namespace godwit::migration {
namespace {

using Kind = DestinationEventKind;
using Phase = DestinationPhase;
using Do = DestinationEffectKind;

DestinationEffect send(MessageKind message) {
  return {.kind = Do::send, .message = message};
}
DestinationEffect answer(MessageKind message) {
  return {.kind = Do::answer, .message = message};
}
DestinationEffect timer(DestinationTimer limit) {
  return {.kind = Do::start_timer, .timer = limit};
}
DestinationEffect plain(Do kind) {
  return {.kind = kind};
}

DestinationStep unchanged(const DestinationState& state) {
  return {.state = state, .effects = {}};
}

DestinationStep go_to(const DestinationState& state, Phase phase, std::vector<DestinationEffect> effects) {
  DestinationStep next{.state = state, .effects = std::move(effects)};
  next.state.phase = phase;
  return next;
}

std::string reason_of(const DestinationState& state, const DestinationEvent& event) {
  if (!event.reason.empty()) return event.reason;
  switch (event.kind) {
    case Kind::peer_lost:
      return "the connection to the source broke";
    case Kind::timer:
      return "the source went silent";
    case Kind::abort:
      return "the source gave up";
    case Kind::restarted:
    case Kind::restarted_held:
      return "the agent of the destination was restarted";
    default:
      return "failed (" + std::string(phase_name(state.phase)) + ")";
  }
}

DestinationStep give_up(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = go_to(state, Phase::discarding, {plain(Do::discard), timer(DestinationTimer::retry)});
  next.state.reason = reason_of(state, event);
  return next;
}

// After GO was recorded, "it never ran here" must be recorded before anything of it is removed: what a crash leaves
// could not be told from a container that ran and ended.
DestinationStep refuse(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next =
      go_to(state, Phase::recording_refusal, {plain(Do::record_refusal), timer(DestinationTimer::retry)});
  next.state.reason = reason_of(state, event);
  return next;
}

bool fails(Kind kind) {
  return kind == Kind::failed || kind == Kind::peer_lost || kind == Kind::timer || kind == Kind::abort;
}

DestinationStep from_idle(const DestinationState& state, const DestinationEvent& event) {
  switch (event.kind) {
    case Kind::prepare:
      return go_to(state, Phase::preparing, {plain(Do::make_slot)});
    case Kind::restarted:
      return give_up(state, event);
    case Kind::restarted_held:
      return refuse(state, event);
    case Kind::restarted_running:
      return go_to(state, Phase::done_running, {plain(Do::finish_running)});
    default:
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
  }
}

DestinationStep before_restore(const DestinationState& state, const DestinationEvent& event) {
  const bool ours = event.epoch == state.epoch;
  if (event.kind == Kind::release_address && ours && state.phase != Phase::receiving) {
    return go_to(state, Phase::receiving, {plain(Do::stop_timer), plain(Do::release_address)});
  }
  if (state.phase == Phase::receiving && event.kind == Kind::take_address && event.epoch > state.epoch) {
    DestinationStep next =
        go_to(state, Phase::taking_address, {timer(DestinationTimer::restore), plain(Do::take_address)});
    next.state.epoch = event.epoch;
    return next;
  }
  if (state.phase == Phase::taking_address && event.kind == Kind::address_taken) {
    return go_to(state, Phase::parked, {send(MessageKind::address_taken)});
  }
  if (state.phase == Phase::parked && event.kind == Kind::restore && ours) {
    return go_to(state, Phase::restoring, {plain(Do::restore)});
  }
  return fails(event.kind) ? give_up(state, event) : unchanged(state);
}

DestinationStep when_ready(const DestinationState& state, const DestinationEvent& event) {
  switch (event.kind) {
    case Kind::go:
    case Kind::query:  // only a source that gave it away asks
      if (event.epoch != state.epoch) return unchanged(state);
      return go_to(state, Phase::recording_go, {plain(Do::stop_timer), plain(Do::record_go)});
    case Kind::peer_lost:
      return go_to(state, Phase::ready, {timer(DestinationTimer::grace)});
    default:
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
  }
}

DestinationStep after_go(const DestinationState& state, const DestinationEvent& event) {
  switch (state.phase) {
    case Phase::recording_go:
      if (event.kind == Kind::recorded) return go_to(state, Phase::resuming, {plain(Do::resume)});
      if (event.kind == Kind::failed) return refuse(state, event);
      break;
    case Phase::resuming:
      if (event.kind == Kind::resumed) return go_to(state, Phase::running, {send(MessageKind::running)});
      if (event.kind == Kind::failed) return refuse(state, event);
      break;
    case Phase::running:
      if (event.kind == Kind::pages_placed) return go_to(state, Phase::done_running, {plain(Do::finish_running)});
      break;
    default:
      break;
  }
  return unchanged(state);
}

DestinationStep while_ending(const DestinationState& state, const DestinationEvent& event) {
  const bool recording = state.phase == Phase::recording_refusal;
  const Do effect = recording ? Do::record_refusal : Do::discard;
  if (recording && event.kind == Kind::recorded) {
    return go_to(state, Phase::discarding, {plain(Do::discard), timer(DestinationTimer::retry)});
  }
  if (!recording && event.kind == Kind::discarded) {
    return go_to(state, Phase::done_refused,
                 {plain(Do::stop_timer), send(MessageKind::refused), plain(Do::finish_refused)});
  }
  if (event.kind == Kind::failed) return go_to(state, state.phase, {timer(DestinationTimer::retry)});
  if (event.kind == Kind::timer) return go_to(state, state.phase, {plain(effect), timer(DestinationTimer::retry)});
  return unchanged(state);
}

MessageKind answer_to_query(Phase phase) {
  if (phase == Phase::running || phase == Phase::done_running) return MessageKind::running;
  if (phase == Phase::done_refused) return MessageKind::refused;
  return MessageKind::undecided;
}

DestinationStep step_without_answer(const DestinationState& state, const DestinationEvent& event) {
  switch (state.phase) {
    case Phase::idle:
      return from_idle(state, event);
    case Phase::preparing:
      if (event.kind == Kind::slot_made) return go_to(state, Phase::receiving, {send(MessageKind::prepared)});
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
    case Phase::receiving:
    case Phase::taking_address:
    case Phase::parked:
      return before_restore(state, event);
    case Phase::restoring:
      if (event.kind == Kind::restored) return go_to(state, Phase::ready, {send(MessageKind::ready)});
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
    case Phase::ready:
      return when_ready(state, event);
    case Phase::recording_go:
    case Phase::resuming:
    case Phase::running:
      return after_go(state, event);
    case Phase::recording_refusal:
    case Phase::discarding:
      return while_ending(state, event);
    case Phase::done_running:
    case Phase::done_refused:
      return unchanged(state);
  }
  return unchanged(state);
}

}  // namespace

DestinationStep step(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step_without_answer(state, event);
  if (event.kind == Kind::query) next.effects.push_back(answer(answer_to_query(next.state.phase)));
  return next;
}

}  // namespace godwit::migration
