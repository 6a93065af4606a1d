// What goes wrong in a schedule: some faults at planned actions, and a share of effects and messages that fail or take
// long. All of it ends, so that the schedule can be asked to end too.
#include <algorithm>

#include "migration/simulator_schedule.h"

namespace godwit::migration::simulation {
namespace {

constexpr Time keepalive = 100 * ms;  // how long a connection survives that carries nothing
constexpr size_t planned_kinds = static_cast<size_t>(Fault::container_death) + 1;

constexpr std::array source_work{SourceEffectKind::prepare,
                                 SourceEffectKind::copy,
                                 SourceEffectKind::freeze,
                                 SourceEffectKind::dump,
                                 SourceEffectKind::record_given_away,
                                 SourceEffectKind::kill_copy,
                                 SourceEffectKind::roll_back,
                                 SourceEffectKind::resume_copy};
constexpr std::array destination_work{DestinationEffectKind::make_slot, DestinationEffectKind::take_address,
                                      DestinationEffectKind::restore,   DestinationEffectKind::record_go,
                                      DestinationEffectKind::resume,    DestinationEffectKind::record_refusal,
                                      DestinationEffectKind::discard};

}  // namespace

void Schedule::plan_faults() {
  constexpr std::array<size_t, 10> sizes{0, 1, 1, 1, 2, 2, 2, 3, 3, 4};
  // An undisturbed hand-over has some 60 actions.
  constexpr std::array<uint32_t, 3> spans{40, 80, 160};
  constexpr std::array<uint32_t, 4> shares{0, 0, 4, 20};
  plan_size_ = sizes.at(random_.below(sizes.size()));
  const uint32_t span = spans.at(random_.below(spans.size()));
  for (size_t i = 0; i < plan_size_; ++i) {
    plan_.at(i) = {.at_action = random_.below(span), .fault = static_cast<Fault>(random_.below(planned_kinds))};
  }
  std::sort(plan_.begin(), plan_.begin() + static_cast<ptrdiff_t>(plan_size_),
            [](const PlannedFault& left, const PlannedFault& right) { return left.at_action < right.at_action; });
  slow_percent_ = shares.at(random_.below(shares.size()));
  fail_percent_ = shares.at(random_.below(shares.size()));
  late_percent_ = shares.at(random_.below(shares.size()));
  stray_percent_ = 2 * shares.at(random_.below(shares.size()));
  disturbances_left_ = random_.below(8);
  plan_failure();
  drops_stale_results_ = random_.one_in(2);
}

// One effect that fails a few times: what is rare in an undisturbed hand-over would never be seen to fail otherwise.
void Schedule::plan_failure() {
  if (random_.one_in(2)) return;
  failures_left_ = 1 + random_.below(3);
  failing_side_ = random_.one_in(2) ? Side::source : Side::destination;
  failing_kind_ = failing_side_ == Side::source
                      ? static_cast<uint8_t>(source_work.at(random_.below(source_work.size())))
                      : static_cast<uint8_t>(destination_work.at(random_.below(destination_work.size())));
}

void Schedule::happened(Fault fault, Time until) {
  faults_until_ = std::max(faults_until_, until);
  const auto kind = static_cast<size_t>(fault);
  if (worker(Side::source).alive) {
    ++coverage_.faults_by_source.at(kind).at(static_cast<size_t>(source_state_.phase));
  }
  if (worker(Side::destination).alive) {
    ++coverage_.faults_by_destination.at(kind).at(static_cast<size_t>(destination_state_.phase));
  }
}

void Schedule::strike(Fault fault) {
  switch (fault) {
    case Fault::source_worker_crash:
    case Fault::destination_worker_crash: {
      const Side side = fault == Fault::source_worker_crash ? Side::source : Side::destination;
      if (!worker(side).alive) return;
      note("*** {}'s worker crashes", name(side));
      happened(fault, now_);
      return crash_worker(side);
    }
    case Fault::source_agent_crash:
      return strike_agent(Side::source, fault);
    case Fault::destination_agent_crash:
    case Fault::destination_supervisor_crash:
      return strike_agent(Side::destination, fault);
    case Fault::source_reboot:
    case Fault::destination_reboot:
      return strike_reboot(fault == Fault::source_reboot ? Side::source : Side::destination, fault);
    case Fault::destination_death:
      return strike_destination_death();
    case Fault::connection_loss:
      if (!worker(Side::source).has_connection && !worker(Side::destination).has_connection) return;
      note("*** the connection breaks");
      happened(fault, now_);
      return break_connection(random_.one_in(2) ? 2 * ms : keepalive);
    case Fault::partition:
      return strike_partition();
    case Fault::cancel:
      if (!worker(Side::source).alive) return;
      note("*** the operator cancels");
      happened(fault, now_);
      return post_event(Side::source, static_cast<uint8_t>(SourceEventKind::cancel));
    case Fault::container_death:
      if (world_.kill_container()) {
        note("*** the container ends");
        happened(fault, now_);
      }
      return;
    default:
      return;
  }
}

void Schedule::strike_agent(Side side, Fault fault) {
  const auto index = static_cast<size_t>(side);
  if (!node_up_.at(index)) return;
  const Time down = random_.between(ms, 150 * ms);
  const bool with_worker = fault != Fault::destination_supervisor_crash;
  note("*** {}'s {} crashes, for {} us", name(side), with_worker ? "agent" : "supervisor", down);
  happened(fault, now_ + down);
  if (with_worker) crash_worker(side);
  supervisor_up_.at(index) = false;
  push({.kind = ItemKind::supervisor_back, .side = side}, down);
}

void Schedule::strike_reboot(Side side, Fault fault) {
  const auto index = static_cast<size_t>(side);
  if (!node_up_.at(index)) return;
  const Time down = random_.between(20 * ms, 400 * ms);
  note("*** {}'s node is rebooted, away for {} us", name(side), down);
  happened(fault, now_ + down);
  node_up_.at(index) = false;
  supervisor_up_.at(index) = false;
  // Nothing says so to the other side: it finds out.
  break_connection(keepalive);
  worker(side).alive = false;
  worker(side).has_connection = false;
  if (side == Side::source) {
    world_.reboot_source();
  } else {
    world_.reboot_destination();
  }
  push({.kind = ItemKind::node_back, .side = side}, down);
}

// The operator does not know what we know: it takes a while until it is sure. Where it need not be sure, it takes a
// destination for dead that can only not be reached.
void Schedule::strike_destination_death() {
  if (world_.destination_dead()) return;
  const Time doubt = random_.between(ms, 600 * ms);
  happened(Fault::destination_death, now_ + doubt);
  if (options_.contract.operator_is_sure) {
    note("*** D's node dies, for good");
    node_up_[1] = false;
    supervisor_up_[1] = false;
    break_connection(keepalive);
    worker(Side::destination).alive = false;
    worker(Side::destination).has_connection = false;
    world_.destination_dies();
  } else {
    strike_partition();
  }
  const auto wish = random_.one_in(2) ? SourceEventKind::abandoned_keep : SourceEventKind::abandoned_end;
  push({.kind = ItemKind::operator_gives_up, .code = static_cast<uint8_t>(wish)}, doubt);
}

void Schedule::give_up_destination(const Item& item) {
  if (!world_.source.session || world_.source.verdict != Verdict::none) return;
  note("*** the operator says that the destination is dead");
  post_event(Side::source, item.code);
  push(item, 100 * ms);
}

void Schedule::strike_partition() {
  const Time length = random_.between(ms, 400 * ms);
  const uint32_t which = random_.below(3);
  note("*** partition ({}) for {} us", which == 0 ? "both ways" : which == 1 ? "towards D" : "towards S", length);
  happened(Fault::partition, now_ + length);
  if (which != 1) partition_until_[0] = std::max(partition_until_[0], now_ + length);
  if (which != 2) partition_until_[1] = std::max(partition_until_[1], now_ + length);
  if (length > keepalive && random_.percent(70)) break_connection(length);
}

}  // namespace godwit::migration::simulation
