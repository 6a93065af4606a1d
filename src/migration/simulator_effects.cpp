// How the simulator executes what the machines order: in steps that take their time, that a crash can come between, and
// that can fail.
#include "migration/simulator_schedule.h"

namespace godwit::migration::simulation {
namespace {

using SourceDo = SourceEffectKind;
using DestinationDo = DestinationEffectKind;

Time limit_of(SourceTimer timer) {
  switch (timer) {
    case SourceTimer::prepare:
      return 400 * ms;
    case SourceTimer::copy:
      return 1500 * ms;
    case SourceTimer::freeze:
      return 150 * ms;
    case SourceTimer::ask:
      return 60 * ms;
    case SourceTimer::retry:
      return 40 * ms;
  }
  return 0;
}

Time limit_of(DestinationTimer timer) {
  switch (timer) {
    case DestinationTimer::restore:
      return 250 * ms;
    case DestinationTimer::grace:
      return 80 * ms;
    case DestinationTimer::retry:
      return 40 * ms;
  }
  return 0;
}

SourceEventKind result_of(SourceDo kind) {
  switch (kind) {
    case SourceDo::copy:
      return SourceEventKind::converged;
    case SourceDo::freeze:
      return SourceEventKind::frozen;
    case SourceDo::dump:
      return SourceEventKind::dumped;
    case SourceDo::record_given_away:
      return SourceEventKind::recorded;
    case SourceDo::kill_copy:
      return SourceEventKind::killed;
    case SourceDo::roll_back:
    case SourceDo::resume_copy:
      return SourceEventKind::rolled_back;
    default:
      return SourceEventKind::failed;
  }
}

DestinationEventKind result_of(DestinationDo kind) {
  switch (kind) {
    case DestinationDo::make_slot:
      return DestinationEventKind::slot_made;
    case DestinationDo::take_address:
      return DestinationEventKind::address_taken;
    case DestinationDo::restore:
      return DestinationEventKind::restored;
    case DestinationDo::record_go:
    case DestinationDo::record_refusal:
      return DestinationEventKind::recorded;
    case DestinationDo::resume:
      return DestinationEventKind::resumed;
    case DestinationDo::discard:
      return DestinationEventKind::discarded;
    default:
      return DestinationEventKind::failed;
  }
}

Verdict verdict_of(SourceDo kind) {
  if (kind == SourceDo::finish_moved) return Verdict::moved;
  return kind == SourceDo::finish_lost ? Verdict::lost : Verdict::stayed;
}

bool is_record(Side side, uint8_t kind) {
  if (side == Side::source) return kind == static_cast<uint8_t>(SourceDo::record_given_away);
  return kind == static_cast<uint8_t>(DestinationDo::record_go) ||
         kind == static_cast<uint8_t>(DestinationDo::record_refusal);
}

bool is_resume(Side side, uint8_t kind) {
  return side == Side::destination && kind == static_cast<uint8_t>(DestinationDo::resume);
}

bool is_copy(Side side, uint8_t kind) {
  return side == Side::source && kind == static_cast<uint8_t>(SourceDo::copy);
}

}  // namespace

void Schedule::do_effect(const SourceEffect& effect) {
  Worker& self = worker(Side::source);
  switch (effect.kind) {
    case SourceDo::prepare:
    case SourceDo::copy:
    case SourceDo::freeze:
    case SourceDo::dump:
    case SourceDo::record_given_away:
    case SourceDo::kill_copy:
    case SourceDo::roll_back:
    case SourceDo::resume_copy:
      return order_effect(Side::source, static_cast<uint8_t>(effect.kind));
    case SourceDo::stop_copy:
      if (self.effect_busy && is_copy(Side::source, self.effect_kind)) end_effect(Side::source);
      return;
    case SourceDo::send:
      return send(Side::source, effect.message, source_state_.epoch);
    case SourceDo::query:
      return send_query();
    case SourceDo::start_timer:
      return start_timer(Side::source, limit_of(effect.timer));
    case SourceDo::stop_timer:
      ++self.timer_number;
      return;
    case SourceDo::too_late:
      return;
    case SourceDo::finish_moved:
    case SourceDo::finish_stayed:
    case SourceDo::finish_lost:
      world_.finish_source(verdict_of(effect.kind));
      return push({.kind = ItemKind::worker_exit, .side = Side::source, .generation = self.generation},
                  random_.between(ms, 30 * ms));
  }
}

void Schedule::do_effect(const DestinationEffect& effect, const Item& cause) {
  Worker& self = worker(Side::destination);
  switch (effect.kind) {
    case DestinationDo::make_slot:
    case DestinationDo::take_address:
    case DestinationDo::restore:
    case DestinationDo::record_go:
    case DestinationDo::resume:
    case DestinationDo::record_refusal:
    case DestinationDo::discard:
      return order_effect(Side::destination, static_cast<uint8_t>(effect.kind));
    case DestinationDo::release_address:
      return world_.release_address();
    case DestinationDo::send:
      return send(Side::destination, effect.message, destination_state_.epoch);
    case DestinationDo::answer:
      return answer(cause.number, effect.message);
    case DestinationDo::start_timer:
      return start_timer(Side::destination, limit_of(effect.timer));
    case DestinationDo::stop_timer:
      ++self.timer_number;
      return;
    case DestinationDo::finish_running:
    case DestinationDo::finish_refused:
      world_.finish_destination(effect.kind == DestinationDo::finish_running ? Verdict::running : Verdict::refused);
      if (self.forget_heard) world_.forget_session();
      return push({.kind = ItemKind::worker_exit, .side = Side::destination, .generation = self.generation},
                  random_.between(ms, 30 * ms));
  }
}

// A worker has one effect under way. One that is ordered meanwhile begins when it has ended; ordering the one under way
// changes nothing.
void Schedule::order_effect(Side side, uint8_t kind) {
  Worker& self = worker(side);
  if (self.effect_busy && self.effect_kind == kind && !self.effect_waiting) return;
  ++self.ordered_number;
  if (!self.effect_busy) return begin_effect(side, kind);
  self.effect_waiting = true;
  self.waiting_kind = kind;
}

void Schedule::begin_effect(Side side, uint8_t kind) {
  Worker& self = worker(side);
  self.effect_busy = true;
  self.effect_waiting = false;
  self.effect_kind = kind;
  self.effect_done = 0;
  self.effect_number = self.ordered_number;
  push({.kind = ItemKind::effect_step, .side = side, .number = self.effect_number, .generation = self.generation},
       effect_time(side, kind));
}

void Schedule::end_effect(Side side) {
  Worker& self = worker(side);
  self.effect_busy = false;
  if (self.effect_waiting) begin_effect(side, self.waiting_kind);
}

void Schedule::continue_effect(const Item& item) {
  if (stale(item)) return;
  Worker& self = worker(item.side);
  if (!self.effect_busy || self.effect_number != item.number) return;
  if (effect_fails(item.side)) return fail_effect(item.side);
  const bool more = item.side == Side::source
                        ? source_effect_step(static_cast<SourceDo>(self.effect_kind), self.effect_done)
                        : destination_effect_step(static_cast<DestinationDo>(self.effect_kind), self.effect_done);
  // `prepare` has no result of its own.
  if (!self.effect_busy || self.effect_number != item.number) return;
  ++self.effect_done;
  if (more) return push(item, effect_time(item.side, self.effect_kind));
  const auto event = item.side == Side::source
                         ? static_cast<uint8_t>(result_of(static_cast<SourceDo>(self.effect_kind)))
                         : static_cast<uint8_t>(result_of(static_cast<DestinationDo>(self.effect_kind)));
  finish_effect(item.side, event);
}

void Schedule::finish_effect(Side side, uint8_t event) {
  const Worker& self = worker(side);
  post_event(side, event, 0, self.effect_number);
  // A container that has ended needs no page any more, which comes to the same.
  if (is_resume(side, self.effect_kind) && world_.destination.copy != Copy::held && !world_.destination.pages_whole) {
    push({.kind = ItemKind::pages_placed,
          .side = side,
          .code = static_cast<uint8_t>(DestinationEventKind::pages_placed),
          .generation = self.generation},
         random_.between(ms, 100 * ms));
  }
  end_effect(side);
}

bool Schedule::effect_fails(Side side) {
  const Worker& self = worker(side);
  if (side == Side::source && world_.source.copy == Copy::dead) {
    const auto kind = static_cast<SourceDo>(self.effect_kind);
    if (kind == SourceDo::copy || kind == SourceDo::freeze || kind == SourceDo::dump) return true;
  }
  const bool planned = failures_left_ > 0 && side == failing_side_ && self.effect_kind == failing_kind_;
  if (!planned && (disturbances_left_ == 0 || !random_.percent(fail_percent_))) return false;
  // Not after the thaw: what cannot be undone must not be called failed.
  if (is_resume(side, self.effect_kind) && self.effect_done > 1 && options_.contract.failed_resume_is_held)
    return false;
  if (planned && random_.one_in(2)) return false;  // at a later step, perhaps
  if (planned) --failures_left_;
  if (is_record(side, self.effect_kind) && !options_.contract.failed_record_is_none) {
    if (side == Side::source) {
      source_effect_step(static_cast<SourceDo>(self.effect_kind), 0);
    } else {
      destination_effect_step(static_cast<DestinationDo>(self.effect_kind), 0);
    }
  }
  return true;
}

void Schedule::fail_effect(Side side) {
  const Worker& self = worker(side);
  if (disturbances_left_ > 0) --disturbances_left_;
  happened(Fault::effect_failure, now_);
  note("{}: effect {} fails after {} steps", name(side),
       side == Side::source ? effect_name(static_cast<SourceDo>(self.effect_kind))
                            : effect_name(static_cast<DestinationDo>(self.effect_kind)),
       self.effect_done);
  if (side == Side::destination) return finish_effect(side, static_cast<uint8_t>(DestinationEventKind::failed));
  const bool transient = static_cast<SourceDo>(self.effect_kind) == SourceDo::dump && !random_.one_in(4);
  finish_effect(side, static_cast<uint8_t>(transient ? SourceEventKind::failed_transient : SourceEventKind::failed));
}

Time Schedule::effect_time(Side side, uint8_t kind) {
  if (disturbances_left_ > 0 && random_.percent(slow_percent_)) {
    --disturbances_left_;
    const Time slow = random_.between(20 * ms, is_copy(side, kind) ? 2500 * ms : 600 * ms);
    happened(Fault::slow_effect, now_ + slow);
    return slow;
  }
  if (is_record(side, kind)) return random_.between(50, 2 * ms);
  return is_copy(side, kind) ? random_.between(5 * ms, 40 * ms) : random_.between(ms / 4, 6 * ms);
}

// Does step number `done` of an effect; whether there is another one.
bool Schedule::source_effect_step(SourceDo kind, uint8_t done) {
  const bool first = done == 0;
  switch (kind) {
    case SourceDo::prepare:
      connect_and_prepare();
      return false;
    case SourceDo::freeze:
      first ? world_.freeze_source() : world_.close_outgoing();
      return first;
    case SourceDo::dump:
      first ? world_.close_incoming(source_state_.epoch) : world_.complete_dump(source_state_.epoch);
      return first;
    case SourceDo::record_given_away:
      world_.record_given_away(source_state_.epoch);
      return false;
    case SourceDo::kill_copy:
      if (first) world_.kill_source();
      return first;
    case SourceDo::roll_back:
    case SourceDo::resume_copy: {
      // Only roll_back can come after the record.
      const uint8_t part = kind == SourceDo::roll_back ? done : done + 1;
      if (part == 0 && options_.contract.takes_back_record) world_.take_back_record();
      if (part == 1) world_.thaw_source();
      if (part == 2) world_.open_source_gates();
      if (part == 3) world_.announce_source();
      return part < 3;
    }
    default:
      return false;
  }
}

bool Schedule::destination_effect_step(DestinationDo kind, uint8_t done) {
  const bool first = done == 0;
  switch (kind) {
    case DestinationDo::make_slot:
      first ? world_.make_slot() : world_.park();
      return first;
    case DestinationDo::take_address:
      world_.announce_destination(destination_state_.epoch);
      return false;
    case DestinationDo::restore:
      world_.restore_destination(destination_state_.epoch);
      return false;
    case DestinationDo::record_go:
      world_.record_go();
      return false;
    case DestinationDo::record_refusal:
      world_.record_refusal();
      return false;
    case DestinationDo::resume:
      if (done == 0) world_.open_destination_gate();
      if (done == 1) world_.thaw_destination();
      if (done == 2 && options_.contract.settles_parked) world_.release_parked();
      return done < 2;
    case DestinationDo::discard:
      if (done == 0 && options_.contract.discards_silently) world_.close_destination_gate();
      if (done == 1) world_.remove_destination_copy();
      if (done == 2 && options_.contract.settles_parked) world_.drop_parked();
      if (done == 3) world_.remove_slot();
      return done < 3;
    default:
      return false;
  }
}

}  // namespace godwit::migration::simulation
