#include "migration/simulator_schedule.h"

#include <algorithm>

namespace godwit::migration::simulation {
namespace {

// Every session has to end within this time after the last fault.
constexpr Time quiet_limit = 20'000 * ms;

bool later(const Item& left, const Item& right) {
  return left.at != right.at ? left.at > right.at : left.order > right.order;
}

template <typename Effect>
std::string list(const std::vector<Effect>& effects) {
  std::string text;
  for (const Effect& effect : effects) text += (text.empty() ? ": " : ", ") + describe(effect);
  return text;
}

}  // namespace

Schedule::Schedule(const SimulatorOptions& options, uint64_t seed, Coverage& coverage, bool tracing)
    : options_(options), coverage_(coverage), random_(seed), tracing_(tracing) {}

ScheduleResult Schedule::run() {
  plan_faults();
  start_worker(Side::source);
  post_event(Side::source, static_cast<uint8_t>(SourceEventKind::start));
  while (!queue_.empty() && world_.violation().empty()) {
    std::ranges::pop_heap(queue_, later);
    const Item item = queue_.back();
    queue_.pop_back();
    now_ = item.at;
    if (now_ > faults_until_ + quiet_limit) {
      world_.violate("the session did not end, long after the last fault");
      break;
    }
    begin_action();
    happen(item);
    world_.check();
  }
  if (world_.violation().empty()) world_.check_end();
  ++coverage_.schedules;
  ++coverage_.source_verdicts.at(static_cast<size_t>(world_.source.verdict));
  ++coverage_.destination_verdicts.at(static_cast<size_t>(world_.destination.verdict));
  return {.violation = world_.violation(), .trace = std::move(trace_)};
}

void Schedule::push(Item item, Time delay) {
  item.at = now_ + std::max<Time>(delay, 0);
  item.order = ++order_;
  queue_.push_back(item);
  std::ranges::push_heap(queue_, later);
}

void Schedule::happen(const Item& item) {
  switch (item.kind) {
    case ItemKind::event:
      return deliver_event(item);
    case ItemKind::effect_step:
      return continue_effect(item);
    case ItemKind::timer:
      if (!stale(item) && item.number == worker(item.side).timer_number) post_event(item.side, item.code);
      return;
    case ItemKind::message:
      return message_arrives(item);
    case ItemKind::peer_gone:
      return peer_is_gone(item);
    case ItemKind::query:
      return query_arrives(item);
    case ItemKind::answer:
      return answer_arrives(item);
    case ItemKind::forget:
      return forget_arrives();
    case ItemKind::pages_placed:
      if (stale(item)) return;
      world_.destination.pages_whole = true;
      return post_event(Side::destination, item.code);
    case ItemKind::worker_exit:
      return exit_worker(item);
    case ItemKind::worker_start:
      return start_recovery(item.side);
    case ItemKind::supervisor_back:
    case ItemKind::node_back:
      return come_back(item);
    case ItemKind::operator_gives_up:
      return give_up_destination(item);
  }
}

// An action is the smallest thing that a fault can come before: an event's delivery, an effect, a step of one.
void Schedule::begin_action() {
  ++actions_;
  if (random_.one_in(4)) world_.packet_from_client();
  while (plan_done_ < plan_size_ && plan_.at(plan_done_).at_action <= actions_) strike(plan_.at(plan_done_++).fault);
}

bool Schedule::stale(const Item& item) const {
  return !worker(item.side).alive || worker(item.side).generation != item.generation;
}

bool Schedule::unfinished(Side side) const {
  const bool session = side == Side::source ? world_.source.session : world_.destination.session;
  const Verdict verdict = side == Side::source ? world_.source.verdict : world_.destination.verdict;
  return node_up_.at(static_cast<size_t>(side)) && session && verdict == Verdict::none;
}

// Into the inbox of a worker: what comes to it is handled in the order in which it came.
void Schedule::post_event(Side side, uint8_t event, uint32_t epoch, uint32_t number) {
  Worker& to = worker(side);
  if (!to.alive) return;
  const Time busy = random_.one_in(32) ? 5 * ms : ms / 10;
  to.inbox_until = std::max(to.inbox_until, now_ + random_.between(1, busy));
  push({.kind = ItemKind::event,
        .side = side,
        .code = event,
        .epoch = epoch,
        .number = number,
        .generation = to.generation},
       to.inbox_until - now_);
}

void Schedule::deliver_event(const Item& item) {
  if (stale(item)) return;
  const bool query = item.side == Side::destination && item.code == static_cast<uint8_t>(DestinationEventKind::query);
  if (item.number != 0 && !query && item.number != worker(item.side).ordered_number) {
    ++coverage_.stale_results;
    if (drops_stale_results_) return;
  }
  if (item.side == Side::source) return step_source(item);
  step_destination(item);
}

void Schedule::step_source(const Item& item) {
  const SourceEvent event{.kind = static_cast<SourceEventKind>(item.code), .epoch = item.epoch};
  const SourcePhase before = source_state_.phase;
  if (event.kind == SourceEventKind::peer_rebooted && before == SourcePhase::given_away) world_.heard_reboot();
  if (before == SourcePhase::given_away) {
    if (event.kind == SourceEventKind::abandoned_keep) world_.abandoned(Decision::keep);
    if (event.kind == SourceEventKind::abandoned_end) world_.abandoned(Decision::end);
  }
  SourceStep next = options_.source(source_state_, event);
  ++coverage_.steps;
  ++coverage_.source_steps.at(static_cast<size_t>(before)).at(item.code);
  note("S {} + {} -> {}{}", phase_name(before), event_name(event.kind), phase_name(next.state.phase),
       list(next.effects));
  source_state_ = std::move(next.state);
  const uint32_t generation = worker(Side::source).generation;
  for (size_t i = 0; i < next.effects.size(); ++i) {
    if (i > 0) begin_action();
    if (!worker(Side::source).alive || worker(Side::source).generation != generation) {
      ++coverage_.crashes_between_effects;
      return;
    }
    coverage_.count(before, next.effects[i]);
    do_effect(next.effects[i]);
    world_.check();
  }
}

void Schedule::step_destination(const Item& item) {
  const DestinationEvent event{.kind = static_cast<DestinationEventKind>(item.code), .epoch = item.epoch};
  const DestinationPhase before = destination_state_.phase;
  if (event.kind == DestinationEventKind::go || event.kind == DestinationEventKind::query) world_.heard_go();
  DestinationStep next = options_.destination(destination_state_, event);
  ++coverage_.steps;
  ++coverage_.destination_steps.at(static_cast<size_t>(before)).at(item.code);
  note("D {} + {} -> {}{}", phase_name(before), event_name(event.kind), phase_name(next.state.phase),
       list(next.effects));
  destination_state_ = std::move(next.state);
  const uint32_t generation = worker(Side::destination).generation;
  for (size_t i = 0; i < next.effects.size(); ++i) {
    if (i > 0) begin_action();
    if (!worker(Side::destination).alive || worker(Side::destination).generation != generation) {
      ++coverage_.crashes_between_effects;
      return;
    }
    coverage_.count(before, next.effects[i]);
    do_effect(next.effects[i], item);
    world_.check();
  }
}

void Schedule::start_timer(Side side, Time limit) {
  Worker& owner = worker(side);
  const auto event = side == Side::source ? static_cast<uint8_t>(SourceEventKind::timer)
                                          : static_cast<uint8_t>(DestinationEventKind::timer);
  push({.kind = ItemKind::timer,
        .side = side,
        .code = event,
        .number = ++owner.timer_number,
        .generation = owner.generation},
       limit);
}

void Schedule::start_worker(Side side) {
  Worker& started = worker(side);
  started = Worker{.alive = true, .generation = started.generation + 1};
  if (side == Side::source) {
    source_state_ = {.epoch = world_.source.recorded_epoch};
  } else {
    destination_state_ = {};
  }
}

// What the agent does for a session whose worker is dead: a new one, told what the record and the kernel say.
void Schedule::start_recovery(Side side) {
  if (worker(side).alive || !supervisor_up_.at(static_cast<size_t>(side)) || !unfinished(side)) return;
  start_worker(side);
  if (side == Side::source) {
    const bool given_away = world_.source.record == SourceRecord::given_away;
    note("S is recovered; its copy is {}", copy_name(world_.source.copy));
    post_event(side,
               static_cast<uint8_t>(given_away ? SourceEventKind::restarted_given_away : SourceEventKind::restarted));
    return;
  }
  note("D is recovered; its copy is {}", copy_name(world_.destination.copy));
  auto event = DestinationEventKind::restarted;
  if (world_.destination.record == DestinationRecord::go) {
    event = world_.destination.copy == Copy::held ? DestinationEventKind::restarted_held
                                                  : DestinationEventKind::restarted_running;
  }
  post_event(side, static_cast<uint8_t>(event));
}

void Schedule::crash_worker(Side side) {
  Worker& crashed = worker(side);
  if (!crashed.alive) return;
  if (crashed.effect_busy) {
    if (side == Side::source) {
      ++coverage_.source_crashes_inside.at(crashed.effect_kind).at(crashed.effect_done);
    } else {
      ++coverage_.destination_crashes_inside.at(crashed.effect_kind).at(crashed.effect_done);
    }
  }
  crashed.alive = false;
  close_end(side);
  if (side == Side::destination) world_.lose_destination_worker();
  push({.kind = ItemKind::worker_start, .side = side}, random_.between(ms, 60 * ms));
}

void Schedule::exit_worker(const Item& item) {
  if (stale(item)) return;
  note("{} exits", name(item.side));
  worker(item.side).alive = false;
  close_end(item.side);
}

void Schedule::come_back(const Item& item) {
  const auto side = static_cast<size_t>(item.side);
  if (item.side == Side::destination && world_.destination_dead()) return;
  if (item.kind == ItemKind::node_back) {
    note("{}'s node is back", name(item.side));
    node_up_.at(side) = true;
  }
  if (!node_up_.at(side)) return;
  supervisor_up_.at(side) = true;
  start_recovery(item.side);
}

}  // namespace godwit::migration::simulation
