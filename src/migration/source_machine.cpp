#include "migration/source_machine.h"

namespace godwit::migration {
namespace {

using Kind = SourceEventKind;
using Phase = SourcePhase;
using Do = SourceEffectKind;

SourceEffect send(MessageKind message) {
  return {.kind = Do::send, .message = message};
}
SourceEffect timer(SourceTimer limit) {
  return {.kind = Do::start_timer, .timer = limit};
}
SourceEffect plain(Do kind) {
  return {.kind = kind};
}

SourceStep unchanged(const SourceState& state) {
  return {.state = state, .effects = {}};
}

SourceStep go_to(const SourceState& state, Phase phase, std::vector<SourceEffect> effects) {
  SourceStep next{.state = state, .effects = std::move(effects)};
  next.state.phase = phase;
  return next;
}

bool fails(Kind kind) {
  return kind == Kind::failed || kind == Kind::failed_transient || kind == Kind::peer_lost || kind == Kind::timer ||
         kind == Kind::cancel || kind == Kind::refused || kind == Kind::peer_rebooted;
}

std::string reason_of(const SourceState& state, const SourceEvent& event) {
  if (!event.reason.empty()) return event.reason;
  switch (event.kind) {
    case Kind::peer_lost:
      return "the connection to the destination broke";
    case Kind::peer_rebooted:
      return "the destination was restarted";
    case Kind::timer:
      return "it took too long (" + std::string(phase_name(state.phase)) + ")";
    case Kind::cancel:
      return "cancelled";
    case Kind::refused:
      return "the destination refused";
    default:
      return "failed (" + std::string(phase_name(state.phase)) + ")";
  }
}

// Before GO every failure ends here: the container runs on where it is.
SourceStep give_up(const SourceState& state, const SourceEvent& event) {
  SourceStep next =
      go_to(state, Phase::rolling_back,
            {plain(Do::stop_copy), plain(Do::roll_back), send(MessageKind::abort), timer(SourceTimer::retry)});
  next.state.reason = reason_of(state, event);
  return next;
}

// The dump failed in a way that may pass: let it run, copy once more, freeze again.
SourceStep try_again(const SourceState& state) {
  return go_to(state, Phase::resuming,
               {plain(Do::resume_copy), send(MessageKind::release_address), timer(SourceTimer::retry)});
}

SourceStep while_frozen(const SourceState& state, const SourceEvent& event) {
  const bool ours = event.epoch == state.epoch;
  switch (state.phase) {
    case Phase::freezing:
      if (event.kind == Kind::frozen) return go_to(state, Phase::yielding, {send(MessageKind::take_address)});
      break;
    case Phase::yielding:
      if (event.kind == Kind::address_taken && ours) return go_to(state, Phase::dumping, {plain(Do::dump)});
      break;
    case Phase::dumping:
      if (event.kind == Kind::dumped) return go_to(state, Phase::restoring, {send(MessageKind::restore)});
      if (event.kind == Kind::failed_transient && state.epoch < freeze_attempts_max) return try_again(state);
      break;
    case Phase::restoring:
      if (event.kind == Kind::ready && ours) return go_to(state, Phase::recording, {plain(Do::record_given_away)});
      break;
    case Phase::recording:
      if (event.kind == Kind::recorded) {
        return go_to(state, Phase::given_away, {send(MessageKind::go), timer(SourceTimer::ask)});
      }
      // The record may or may not have been written when the wish to stop comes: only its outcome counts.
      if (event.kind != Kind::failed) return unchanged(state);
      break;
    default:
      break;
  }
  return fails(event.kind) ? give_up(state, event) : unchanged(state);
}

SourceStep after_go(const SourceState& state, const SourceEvent& event) {
  switch (event.kind) {
    case Kind::running:
      return go_to(state, Phase::killing, {plain(Do::kill_copy), timer(SourceTimer::retry)});
    case Kind::refused: {
      SourceStep next = go_to(state, Phase::rolling_back, {plain(Do::roll_back), timer(SourceTimer::retry)});
      next.state.reason = reason_of(state, event);
      return next;
    }
    case Kind::peer_rebooted: {
      // Clients may have seen work acknowledged there: the older copy must not go on as if nothing had been.
      SourceStep next = go_to(state, Phase::killing, {plain(Do::kill_copy), timer(SourceTimer::retry)});
      next.state.peer_died = true;
      next.state.reason = "the destination node was restarted after the hand-over, and the container ended with it";
      return next;
    }
    case Kind::abandoned_keep: {
      SourceStep next = go_to(state, Phase::rolling_back, {plain(Do::roll_back), timer(SourceTimer::retry)});
      next.state.reason =
          "the operator said that the destination is dead; the container goes on as it was when it was frozen, and "
          "what it did at the destination is lost";
      return next;
    }
    case Kind::abandoned_end: {
      SourceStep next = go_to(state, Phase::killing, {plain(Do::kill_copy), timer(SourceTimer::retry)});
      next.state.peer_died = true;
      next.state.reason = "the operator said that the destination is dead, and ended the copy that was frozen here";
      return next;
    }
    case Kind::peer_lost:
    case Kind::timer:
      return go_to(state, Phase::given_away, {plain(Do::query), timer(SourceTimer::ask)});
    case Kind::cancel:
      return go_to(state, Phase::given_away, {plain(Do::too_late)});
    default:
      return unchanged(state);
  }
}

SourceStep while_ending(const SourceState& state, const SourceEvent& event) {
  const bool killing = state.phase == Phase::killing;
  if (killing && event.kind == Kind::killed) {
    // The end is written down before the destination may forget: whoever asks it after that is told "refused".
    return go_to(state, Phase::done,
                 {plain(Do::stop_timer), plain(state.peer_died ? Do::finish_lost : Do::finish_moved),
                  send(MessageKind::forget)});
  }
  if (!killing && event.kind == Kind::rolled_back) {
    return go_to(state, Phase::done, {plain(Do::stop_timer), plain(Do::finish_stayed)});
  }
  // Neither may be left half done: try again until it works.
  if (event.kind == Kind::failed) return go_to(state, state.phase, {timer(SourceTimer::retry)});
  if (event.kind == Kind::timer) {
    return go_to(state, state.phase, {plain(killing ? Do::kill_copy : Do::roll_back), timer(SourceTimer::retry)});
  }
  if (killing && event.kind == Kind::cancel) return go_to(state, state.phase, {plain(Do::too_late)});
  return unchanged(state);
}

SourceStep start_attempt(const SourceState& state) {
  SourceStep next = go_to(state, Phase::freezing, {timer(SourceTimer::freeze), plain(Do::freeze)});
  ++next.state.epoch;
  next.state.was_frozen = true;
  return next;
}

SourceStep from_idle(const SourceState& state, const SourceEvent& event) {
  switch (event.kind) {
    case Kind::start:
      return go_to(state, Phase::preparing, {timer(SourceTimer::prepare), plain(Do::prepare)});
    case Kind::restarted: {
      SourceStep next = go_to(state, Phase::rolling_back, {plain(Do::roll_back), timer(SourceTimer::retry)});
      next.state.reason = "the agent of the source was restarted";
      next.state.was_frozen = true;
      return next;
    }
    case Kind::restarted_given_away: {
      SourceStep next = go_to(state, Phase::given_away, {plain(Do::query), timer(SourceTimer::ask)});
      next.state.was_frozen = true;
      return next;
    }
    default:
      return unchanged(state);
  }
}

}  // namespace

SourceStep step(const SourceState& state, const SourceEvent& event) {
  switch (state.phase) {
    case Phase::idle:
      return from_idle(state, event);
    case Phase::preparing:
      if (event.kind == Kind::prepared)
        return go_to(state, Phase::precopy, {timer(SourceTimer::copy), plain(Do::copy)});
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
    case Phase::precopy:
      if (event.kind == Kind::converged) return start_attempt(state);
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
    case Phase::resuming:
      if (event.kind == Kind::rolled_back)
        return go_to(state, Phase::precopy, {timer(SourceTimer::copy), plain(Do::copy)});
      return fails(event.kind) ? give_up(state, event) : unchanged(state);
    case Phase::freezing:
    case Phase::yielding:
    case Phase::dumping:
    case Phase::restoring:
    case Phase::recording:
      return while_frozen(state, event);
    case Phase::given_away:
      return after_go(state, event);
    case Phase::killing:
    case Phase::rolling_back:
      return while_ending(state, event);
    case Phase::done:
      if (event.kind == Kind::cancel) return go_to(state, Phase::done, {plain(Do::too_late)});
      return unchanged(state);
  }
  return unchanged(state);
}

}  // namespace godwit::migration
