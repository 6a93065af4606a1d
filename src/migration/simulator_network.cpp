// What the two sides say to each other: a control connection (in order, until it breaks; what is on the way then may
// arrive late or never), and questions on connections of their own, which overtake it and each other. Some schedules
// also double messages and let them overtake each other, which TCP does not: the epochs have to bear it.
#include <algorithm>
#include <optional>

#include "migration/simulator_schedule.h"

namespace godwit::migration::simulation {
namespace {

std::optional<SourceEventKind> event_for_source(MessageKind message) {
  switch (message) {
    case MessageKind::prepared:
      return SourceEventKind::prepared;
    case MessageKind::address_taken:
      return SourceEventKind::address_taken;
    case MessageKind::ready:
      return SourceEventKind::ready;
    case MessageKind::running:
      return SourceEventKind::running;
    case MessageKind::refused:
      return SourceEventKind::refused;
    default:
      return std::nullopt;
  }
}

std::optional<DestinationEventKind> event_for_destination(MessageKind message) {
  switch (message) {
    case MessageKind::prepare:
      return DestinationEventKind::prepare;
    case MessageKind::take_address:
      return DestinationEventKind::take_address;
    case MessageKind::release_address:
      return DestinationEventKind::release_address;
    case MessageKind::restore:
      return DestinationEventKind::restore;
    case MessageKind::go:
      return DestinationEventKind::go;
    case MessageKind::abort:
      return DestinationEventKind::abort;
    default:
      return std::nullopt;
  }
}

}  // namespace

Time Schedule::message_delay() {
  if (disturbances_left_ > 0 && random_.percent(late_percent_)) {
    --disturbances_left_;
    const Time late = random_.between(10 * ms, 400 * ms);
    happened(Fault::late_message, now_ + late);
    return late;
  }
  return random_.between(ms / 10, 2 * ms);
}

bool Schedule::partitioned(Side towards) const {
  return now_ < partition_until_.at(static_cast<size_t>(towards));
}

Time Schedule::until_healed(Side towards) {
  return partition_until_.at(static_cast<size_t>(towards)) - now_ + random_.between(0, ms);
}

// The source's effect `prepare`.
void Schedule::connect_and_prepare() {
  Worker& self = worker(Side::source);
  const bool silent = !node_up_[1] || partitioned(Side::destination) || partitioned(Side::source);
  // Nobody answers: until the timer.
  if (silent && random_.one_in(2)) return end_effect(Side::source);
  if (silent || !supervisor_up_[1]) return fail_effect(Side::source);
  self.has_connection = true;
  self.had_connection = true;
  send(Side::source, MessageKind::prepare, 0);
  end_effect(Side::source);
}

void Schedule::send(Side from, MessageKind message, uint32_t epoch) {
  if (message == MessageKind::forget && !worker(from).has_connection) return send_forget();
  if (from == Side::source) source_says(message, epoch);
  if (!worker(from).has_connection) {
    // "a connection that is gone is reported by peer_lost"
    if (worker(from).had_connection) post_peer_lost(from);
    return;
  }
  if (from == Side::destination) destination_says(message);
  Item item{.kind = ItemKind::message, .side = other(from), .code = static_cast<uint8_t>(message), .epoch = epoch};
  if (message != MessageKind::prepare && strays(item)) return;
  Connection::Direction& direction = connection_.towards.at(static_cast<size_t>(item.side));
  direction.last_arrival = std::max(direction.last_arrival, now_ + message_delay());
  item.number = ++direction.sent;
  push(item, direction.last_arrival - now_);
}

// Sends it out of order, later than what follows it; whether that is all. If not, it comes in order as well.
bool Schedule::strays(Item message) {
  if (disturbances_left_ == 0 || !random_.percent(stray_percent_)) return false;
  --disturbances_left_;
  const bool doubled = random_.one_in(2);
  const Time late = random_.between(ms, 120 * ms);
  happened(doubled ? Fault::doubled_message : Fault::overtaken_message, now_ + late);
  push(message, late);
  return !doubled;
}

void Schedule::message_arrives(const Item& item) {
  if (item.number != 0) {
    if (takes_its_turn(item)) deliver_message(item);
  } else if (partitioned(item.side)) {
    push(item, until_healed(item.side));
  } else {
    deliver_message(item);
  }
}

// False: it is lost, or comes again later.
bool Schedule::takes_its_turn(const Item& item) {
  const auto side = static_cast<size_t>(item.side);
  Connection::Direction& direction = connection_.towards.at(side);
  if (item.number > direction.cut) {
    note("{} is lost with its connection", message_name(static_cast<MessageKind>(item.code)));
    return false;
  }
  if (partitioned(item.side)) direction.held_until = std::max(direction.held_until, partition_until_.at(side));
  if (now_ <= direction.held_until || item.number > direction.arrived + 1) {
    push(item, std::max<Time>(direction.held_until - now_, 0) + 1);
    return false;
  }
  direction.arrived = item.number;
  return true;
}

void Schedule::deliver_message(const Item& item) {
  const auto message = static_cast<MessageKind>(item.code);
  if (message == MessageKind::prepare && !accept_session()) return;
  Worker& to = worker(item.side);
  if (!to.has_connection) return;
  if (message == MessageKind::forget) {
    to.forget_heard = true;
    return world_.forget_session();
  }
  if (item.side == Side::source) {
    if (const auto event = event_for_source(message)) post_event(item.side, static_cast<uint8_t>(*event), item.epoch);
  } else if (const auto event = event_for_destination(message)) {
    post_event(item.side, static_cast<uint8_t>(*event), item.epoch);
  }
}

// The destination's supervisor starts a worker for a new session.
bool Schedule::accept_session() {
  if (!node_up_[1] || !supervisor_up_[1] || world_.destination.session) {
    notice_broken(Side::source, 5 * ms);
    return false;
  }
  world_.destination.session = true;
  start_worker(Side::destination);
  worker(Side::destination).has_connection = true;
  worker(Side::destination).had_connection = true;
  return true;
}

void Schedule::source_says(MessageKind message, uint32_t epoch) {
  if (message == MessageKind::take_address) world_.said_take_address(epoch);
  if (message == MessageKind::release_address) world_.said_release_address(epoch);
  if (message == MessageKind::restore) world_.said_restore(epoch);
  if (message == MessageKind::go) world_.said_go();
}

void Schedule::destination_says(MessageKind message) {
  if (message == MessageKind::prepared) world_.said_prepared();
  if (message == MessageKind::refused) world_.said_refused();
  if (message == MessageKind::running) world_.said_running();
}

// Of what is on the way, a part still arrives.
void Schedule::break_connection(Time notice_limit) {
  if (!worker(Side::source).has_connection && !worker(Side::destination).has_connection) return;
  for (Connection::Direction& direction : connection_.towards) {
    const uint32_t arriving = direction.arrived + random_.below(direction.sent - direction.arrived + 1);
    direction.cut = std::min(direction.cut, arriving);
  }
  notice_broken(Side::source, notice_limit);
  notice_broken(Side::destination, notice_limit);
}

// A process that ends closes its end. The kernel still delivers what it had sent, mostly.
void Schedule::close_end(Side side) {
  if (!worker(side).has_connection) return;
  worker(side).has_connection = false;
  Connection::Direction& direction = connection_.towards.at(static_cast<size_t>(other(side)));
  uint32_t arriving = direction.sent;
  if (random_.one_in(4)) arriving = direction.arrived + random_.below(direction.sent - direction.arrived + 1);
  direction.cut = std::min(direction.cut, arriving);
  notice_broken(other(side), 2 * ms);
}

void Schedule::notice_broken(Side side, Time within) {
  const Time last_arrival = connection_.towards.at(static_cast<size_t>(side)).last_arrival;
  push({.kind = ItemKind::peer_gone, .side = side},
       std::max(last_arrival - now_, Time{0}) + random_.between(1, within));
}

void Schedule::peer_is_gone(const Item& item) {
  const Connection::Direction& direction = connection_.towards.at(static_cast<size_t>(item.side));
  // It comes last, after what still arrives.
  if (direction.arrived < std::min(direction.sent, direction.cut)) return push(item, 2 * ms);
  if (!worker(item.side).has_connection) return;
  worker(item.side).has_connection = false;
  note("{} finds its connection broken", name(item.side));
  post_peer_lost(item.side);
}

void Schedule::post_peer_lost(Side side) {
  post_event(side, side == Side::source ? static_cast<uint8_t>(SourceEventKind::peer_lost)
                                        : static_cast<uint8_t>(DestinationEventKind::peer_lost));
}

void Schedule::send_query() {
  // Its answer is for the worker that asked.
  const Item query{.kind = ItemKind::query,
                   .side = Side::destination,
                   .epoch = source_state_.epoch,
                   .number = (worker(Side::source).generation << 16U) | (++queries_ & 0xffffU)};
  push(query, message_delay());
  if (disturbances_left_ == 0 || !random_.percent(late_percent_)) return;
  --disturbances_left_;
  const Time late = random_.between(ms, 400 * ms);
  happened(Fault::doubled_query, now_ + late);
  push(query, late);
}

void Schedule::query_arrives(const Item& item) {
  if (partitioned(Side::destination)) {
    if (random_.one_in(2)) push(item, until_healed(Side::destination));
    return;
  }
  if (!node_up_[1] || !supervisor_up_[1]) return;
  if (worker(Side::destination).alive) {
    return post_event(Side::destination, static_cast<uint8_t>(DestinationEventKind::query), item.epoch, item.number);
  }
  ++coverage_.queries_answered_from_record;
  const DestinationNode& node = world_.destination;
  if (!node.session || node.verdict == Verdict::refused) return answer(item.number, MessageKind::refused);
  answer(item.number, node.verdict == Verdict::running ? MessageKind::running : MessageKind::undecided);
}

void Schedule::answer(uint32_t query, MessageKind message) {
  note("D answers {} (boot {})", message_name(message), world_.destination.boot_id);
  destination_says(message);
  push({.kind = ItemKind::answer,
        .side = Side::source,
        .code = static_cast<uint8_t>(message),
        .epoch = world_.destination.boot_id,
        .generation = query >> 16U},
       message_delay());
}

void Schedule::answer_arrives(const Item& item) {
  if (partitioned(Side::source)) {
    if (random_.one_in(2)) push(item, until_healed(Side::source));
    return;
  }
  if (stale(item)) return;
  if (item.epoch != world_.prepared_boot()) {
    return post_event(Side::source, static_cast<uint8_t>(SourceEventKind::peer_rebooted));
  }
  const auto event = event_for_source(static_cast<MessageKind>(item.code));
  if (event) post_event(Side::source, static_cast<uint8_t>(*event));
}

// Without a connection to say it on: anew, once.
void Schedule::send_forget() {
  if (!partitioned(Side::destination)) push({.kind = ItemKind::forget, .side = Side::destination}, message_delay());
}

void Schedule::forget_arrives() {
  if (!node_up_[1] || !supervisor_up_[1]) return;
  if (worker(Side::destination).alive) worker(Side::destination).forget_heard = true;
  world_.forget_session();
}

}  // namespace godwit::migration::simulation
