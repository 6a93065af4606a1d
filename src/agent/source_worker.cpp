#include "agent/source_worker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>

#include "agent/failure_logs.h"
#include "agent/json_fields.h"
#include "agent/pod_container.h"
#include "agent/worker_arguments.h"
#include "base/log.h"
#include "network/address_book.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using migration::MessageKind;
using migration::SourceEffect;
using migration::SourceEffectKind;
using migration::SourceEvent;
using migration::SourcePhase;
using migration::SourceTimer;
using nlohmann::json;

constexpr auto prepare_time = std::chrono::seconds(30);
constexpr auto prepare_pod_time = std::chrono::seconds(180);
constexpr auto freeze_time = std::chrono::seconds(10);
constexpr auto ask_interval = std::chrono::milliseconds(1500);
constexpr auto retry_interval = std::chrono::seconds(1);
constexpr auto copy_time_default = std::chrono::minutes(60);
// For the destination to clear up and say why it gave up.
constexpr auto refusal_time = std::chrono::seconds(3);
constexpr auto refusal_poll_interval = std::chrono::milliseconds(10);

std::optional<Phase> phase_to_show(SourcePhase phase) {
  switch (phase) {
    case SourcePhase::preparing:
      return Phase::prepare;
    case SourcePhase::precopy:
    case SourcePhase::resuming:
      return Phase::pre_copy;
    case SourcePhase::freezing:
    case SourcePhase::yielding:
    case SourcePhase::dumping:
      return Phase::freeze;
    case SourcePhase::restoring:
    case SourcePhase::recording:
    case SourcePhase::given_away:
      return Phase::restore;
    default:
      return std::nullopt;
  }
}

}  // namespace

SourceWorker::~SourceWorker() {
  if (stop_) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  }
  if (inbox_thread_.joinable()) inbox_thread_.join();
  if (link_) link_->stop();
  effects_.disown();
  effects_.wait();
}

Result<> SourceWorker::migrate(const MigrateRequest& request) {
  request_ = request;
  round_options_.set(request.options);
  const double limit_ms =
      request.options.deadline_ms.value_or(std::chrono::duration<double, std::milli>(copy_time_default).count());
  copy_deadline_ = Deadline::at(
      began_ + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double, std::milli>(limit_ms)));
  GODWIT_TRY(open_inbox());
  events_->emit(SessionEvent{.session = session_.id(),
                             .container = request.container,
                             .from = config_.node_name,
                             .to = request.to_name.empty() ? request.to : request.to_name});
  drive({.kind = Kind::start});
  return {};
}

Result<> SourceWorker::open_inbox() {
  GODWIT_ASSIGN(inbox_, os::listen_seqpacket(session_.path("worker.sock")));
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!stop_) return fail_errno("eventfd");
  inbox_thread_ = std::thread([this] { listen_to_operator(); });
  return {};
}

Result<> SourceWorker::recover(const std::optional<SourceRecord>& record) {
  if (!record) {  // it died before it touched anything
    state_->reason = "the agent of the source was restarted";
    finish(false, false);
    return {};
  }
  record_ = *record;
  for (const RecordedContainer& container : record->containers) {
    GODWIT_ASSIGN(UniqueFd lock, lock_container(container.name, Deadline::after(milliseconds(0))));
    container_locks_.push_back(std::move(lock));
  }
  request_.container = record->containers.front().name;
  request_.to = record->peer_address;
  state_->epoch = record->epoch;
  GODWIT_TRY(open_inbox());
  auto hold = SourceHold::open(record_);
  if (!hold && !any_lives(record_)) {
    // Given away and gone: the dead worker had begun to end its copy, or had not; the destination knows.
    if (record_.given_away) {
      drive({.kind = Kind::restarted_given_away});
      return {};
    }
    // The container is gone: nothing to thaw, nothing that a refusal could give back.
    GODWIT_TRY(remove_ended_containers(config_, record_));
    state_->reason = "the container ended while no agent was there";
    finish(false, true);
    return {};
  }
  if (!hold) return std::unexpected(std::move(hold.error()));
  hold_.emplace(std::move(*hold));
  wait_for_dumps();
  drive({.kind = record->given_away ? Kind::restarted_given_away : Kind::restarted});
  return {};
}

void SourceWorker::drive(SourceEvent first) {
  mailbox_.post(std::move(first));
  while (!ended_) {
    std::optional<SourceEvent> event = mailbox_.take(timer_);
    if (!event) {
      timer_ = Deadline::never();
      event = SourceEvent{.kind = Kind::timer};
      if (request_.options.deadline_ms && copy_deadline_.expired()) {
        event->reason = fmt::format("the deadline of {:.0f} ms passed before it had moved ({}); allow more time",
                                    *request_.options.deadline_ms, phase_name(state_->phase));
      }
    }
    if (event->kind == Kind::cancel) cancelled_ = true;
    const auto next = migration::step(*state_, *event);
    log_debug("source: {} + {} -> {}", phase_name(state_->phase), event_name(event->kind),
              phase_name(next.state.phase));
    if (next.state.reason != state_->reason) log_info("source: {}", next.state.reason);
    *state_ = next.state;
    given_away_epoch_ = state_->phase == SourcePhase::given_away ? state_->epoch : 0;
    announce_phase();
    for (const SourceEffect& effect : next.effects) execute(effect);
  }
}

void SourceWorker::announce_phase() {
  const std::optional<Phase> phase = phase_to_show(state_->phase);
  if (!phase || phase == shown_phase_) return;
  shown_phase_ = phase;
  events_->phase(*phase);
}

// An effect's outcome becomes an event, unless the machine has gone on to another effect meanwhile.
void SourceWorker::run_effect(Kind done, std::function<Result<>()> effect, int repeat_key) {
  effects_.run(
      [this, done, epoch = state_->epoch, effect = std::move(effect)](const EffectRunner::Current& current) {
        const auto outcome = effect();
        if (!outcome) log_warning("{}", outcome.error().message);
        if (!current()) return;
        if (outcome) {
          mailbox_.post({.kind = done, .epoch = epoch});
        } else {
          const Kind kind = criu::retryable(outcome.error()) ? Kind::failed_transient : Kind::failed;
          mailbox_.post({.kind = kind, .reason = outcome.error().message});
        }
      },
      repeat_key);
}

void SourceWorker::execute(const SourceEffect& effect) {
  switch (effect.kind) {
    case SourceEffectKind::prepare:
      // Its good end is the destination's `prepared`.
      effects_.run([this](const EffectRunner::Current& current) {
        const auto prepared = prepare();
        if (!prepared && current()) mailbox_.post({.kind = Kind::failed, .reason = prepared.error().message});
      });
      break;
    case SourceEffectKind::copy:
      run_effect(Kind::converged, [this] {
        auto copied = copy();
        if (!copied) {
          await_refusal();
          tell_failed_round(copied.error().message);
        }
        return copied;
      });
      break;
    case SourceEffectKind::stop_copy:
      effects_.disown();
      if (shown_phase_ == Phase::pre_copy) tell_failed_round(state_->reason);
      giving_up_ = true;
      if (copy_) copy_->stop();
      break;
    case SourceEffectKind::freeze:
      run_effect(Kind::frozen, [this]() -> Result<> {
        lift_limits();
        timeline_.begin();
        const TimedStep step(timeline_, "freeze");
        GODWIT_TRY(hold_->freeze(Deadline::after(freeze_time)));
        auto neighbours = hold_->neighbours();
        if (!neighbours) log_warning("{}", neighbours.error().message);
        neighbours_ = neighbours.value_or(std::vector<network::Neighbour>{});
        return {};
      });
      break;
    case SourceEffectKind::dump:
      run_effect(Kind::dumped, [this] { return with_failure_logs(dump(), session_, config_.node_name); });
      break;
    case SourceEffectKind::record_given_away:
      run_effect(Kind::recorded, [this, epoch = state_->epoch] {
        record_.given_away = true;
        record_.epoch = epoch;
        auto written = session_.write_record(to_json(record_));
        if (!written) record_.given_away = false;
        return written;
      });
      break;
    case SourceEffectKind::send:
      send(effect.message);
      break;
    case SourceEffectKind::query:
      effects_.run([this, epoch = state_->epoch](const EffectRunner::Current&) {
        const auto asked = query(epoch);
        if (asked) return;
        log_info("no answer yet: {}", asked.error().message);
        if (std::exchange(silence_told_, true)) return;
        events_->note(
            "the destination does not answer; the container stays frozen here until it says whether it runs "
            "there (" +
            asked.error().message + "). If its node is dead for good: godwit abandon " + session_.id() + " --help");
      });
      break;
    case SourceEffectKind::kill_copy:
      run_effect(Kind::killed, [this] { return end_copy(); }, static_cast<int>(effect.kind));
      break;
    case SourceEffectKind::roll_back:
      run_effect(
          Kind::rolled_back,
          [this]() -> Result<> {
            // First of all: a recovery must not ask the destination about a container that runs here.
            if (std::exchange(record_.given_away, false)) GODWIT_TRY(session_.write_record(to_json(record_)));
            forget_copy();
            GODWIT_TRY(hold_ ? hold_->let_go(Deadline::after(freeze_time)) : Result<>());
            return put_back_limits();
          },
          static_cast<int>(effect.kind));
      break;
    case SourceEffectKind::resume_copy:
      run_effect(Kind::rolled_back, [this]() -> Result<> {
        dumps_.clear();
        GODWIT_TRY(hold_->let_go(Deadline::after(freeze_time)));
        return put_back_limits();
      });
      break;
    case SourceEffectKind::start_timer:
      start_timer(effect.timer);
      break;
    case SourceEffectKind::stop_timer:
      timer_ = Deadline::never();
      break;
    case SourceEffectKind::too_late:
      events_->note("too late to cancel: the container has been handed over");
      break;
    case SourceEffectKind::finish_moved:
      finish(true, false);
      break;
    case SourceEffectKind::finish_stayed:
      finish(false, false);
      break;
    case SourceEffectKind::finish_lost:
      finish(false, true);
      break;
  }
}

void SourceWorker::send(MessageKind kind) {
  if (!link_) return;
  json body;
  if (kind == MessageKind::take_address) {
    address_asked_ = Clock::now();
    body["neighbours"] = to_json(neighbours_);
  }
  if (kind == MessageKind::restore) body = describe_restore();
  link_->send({.message = {.kind = kind, .epoch = state_->epoch}, .body = std::move(body)});
}

// Of the rounds that end with the migration, only one is told of, with the reason for all.
void SourceWorker::tell_failed_round(const std::string& reason) {
  if (cancelled_ || failed_round_told_.exchange(true)) return;
  const uint64_t done = copy_ ? copy_->totals().rounds : 0;
  events_->emit(MissedRoundEvent{.round = done + 1, .failed = true, .reason = reason});
}

// Lets go of the pages and files under way; their totals are still wanted.
void SourceWorker::forget_copy() {
  if (copy_) copy_totals_ = copy_->totals();
  copy_.reset();
  dumps_.clear();
}

// A destination that gives up closes its lanes at once and says why when it has cleared up: that is what the operator
// wants to read, not that a lane broke. Nothing waits for us: the container runs.
void SourceWorker::await_refusal() {
  const Deadline deadline = Deadline::after(refusal_time);
  while (!giving_up_ && !deadline.expired()) std::this_thread::sleep_for(refusal_poll_interval);
}

void SourceWorker::start_timer(SourceTimer timer) {
  switch (timer) {
    case SourceTimer::prepare:
      // Only the live controller names sessions, and only it moves pods.
      timer_ = Deadline::after(request_.session.empty() ? prepare_time : prepare_pod_time).sooner(copy_deadline_);
      break;
    case SourceTimer::copy:
      timer_ = copy_deadline_;
      break;
    case SourceTimer::freeze:
      timer_ = Deadline::after(freeze_time);
      break;
    case SourceTimer::ask:
      timer_ = Deadline::after(ask_interval);
      break;
    case SourceTimer::retry:
      timer_ = Deadline::after(retry_interval);
      break;
  }
}

// The operator cancels over the command line's connection, or by `godwit cancel` through the supervisor.
void SourceWorker::listen_to_operator() {
  bool command_line = events_->command_line() >= 0;
  for (;;) {
    pollfd ready[3] = {
        {stop_.get(), POLLIN, 0}, {inbox_.get(), POLLIN, 0}, {command_line ? events_->command_line() : -1, POLLIN, 0}};
    if (::poll(ready, 3, -1) < 0 && errno != EINTR) return;
    if (ready[0].revents != 0) return;
    if (ready[1].revents != 0) {
      const UniqueFd caller(::accept4(inbox_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const auto word = os::receive_message(caller.get(), Deadline::after(std::chrono::seconds(1)));
      if (word && word->text == "cancel") mailbox_.post({.kind = Kind::cancel, .reason = "cancelled by the operator"});
      if (word && word->text.starts_with(reconfigure_word)) {
        const auto order =
            decode_request(std::string_view(word->text).substr(std::string_view(reconfigure_word).size()));
        if (order) round_options_.set(std::get<ReconfigureRequest>(*order).options);
      }
      if (word && word->text.starts_with("abandon ")) {
        const auto agreed = abandon(word->text == "abandon keep");
        if (auto told = os::send_message(caller.get(), agreed ? abandon_agreed : agreed.error().message); !told) {
          log_info("{}", told.error().message);
        }
      }
    }
    if (ready[2].revents != 0) {
      char text[256];
      const ssize_t got = ::recv(events_->command_line(), text, sizeof text, MSG_DONTWAIT);
      // A line that asks to cancel; its mere end does not (the operator's terminal may have been closed).
      if (got > 0) mailbox_.post({.kind = Kind::cancel, .reason = "cancelled by the operator"});
      if (got <= 0) command_line = false;
    }
  }
}

// The operator says that the destination is dead. We cannot know that, but we can know better: it is asked once more.
Result<> SourceWorker::abandon(bool keep) {
  const uint32_t epoch = given_away_epoch_;
  if (epoch == 0) {
    return fail(
        "the container has not been handed over to the destination, or its end is known: nothing is waiting for a "
        "destination that may be dead (`godwit cancel` ends a migration that is under way)");
  }
  if (keep && !hold_) return fail("the copy that was frozen here is gone: there is nothing to keep");
  if (query(epoch)) return fail("the destination is not dead: it has just answered");
  log_warning("the operator gives up the destination, and {} the copy that is frozen here", keep ? "keeps" : "ends");
  mailbox_.post({.kind = keep ? Kind::abandoned_keep : Kind::abandoned_end, .reason = ""});
  return {};
}

// Comes from the link's thread, or from a query's.
void SourceWorker::on_message(const PeerMessage& message) {
  const std::lock_guard lock(message_mutex_);
  SourceEvent event{
      .kind = Kind::start, .epoch = message.message.epoch, .reason = optional_text(message.body, "reason")};
  switch (message.message.kind) {
    case MessageKind::prepared:
      // Once: the record is read by other threads from then on.
      if (std::exchange(prepared_, true)) return;
      record_.peer_memory_id = optional_text(message.body, "memory_id");
      record_.reconnects = optional_text(message.body, "network") == network_mode_name(NetworkMode::reconnect);
      event.kind = Kind::prepared;
      break;
    case MessageKind::address_taken:
      timeline_.add("address to the destination", address_asked_);
      event.kind = Kind::address_taken;
      break;
    case MessageKind::ready:
      event.kind = Kind::ready;
      break;
    case MessageKind::running:
      on_running(message);
      event.kind = Kind::running;
      break;
    case MessageKind::refused:
      event.kind = Kind::refused;
      if (!event.reason.empty()) event.reason = "destination: " + event.reason;
      break;
    default:
      return;
  }
  mailbox_.post(std::move(event));
}

// The two clocks are not compared: the destination counts from when it was asked for the address, we know when we
// asked.
void SourceWorker::on_running(const PeerMessage& message) {
  ended_there_ = optional_text(message.body, "ended");
  if (!message.body.contains("resumed_ms") || std::exchange(resumed_, true)) return;
  const double asked_ms = elapsed_ms(timeline_.zero(), address_asked_);
  pause_ms_ = asked_ms + optional_number(message.body, "resumed_ms");
  if (message.body.contains("answered_ms")) client_gap_ms_ = asked_ms + optional_number(message.body, "answered_ms");
  TimelineEvent timeline{.steps = timeline_.steps()};
  for (const json& step : message.body.value("steps", json::array())) {
    if (timeline.steps.size() >= timeline_steps_max) break;
    timeline.steps.push_back({.name = optional_text(step, "name"),
                              .start_ms = optional_number(step, "start_ms") + asked_ms,
                              .duration_ms = optional_number(step, "ms")});
  }
  std::sort(timeline.steps.begin(), timeline.steps.end(),
            [](const TimelineStep& a, const TimelineStep& b) { return a.start_ms < b.start_ms; });
  events_->emit(timeline);
}

void SourceWorker::finish(bool moved, bool lost) {
  if (moved && !ended_there_.empty()) {
    state_->reason = "destination: " + ended_there_;
    moved = false;
    lost = true;
  }
  ResultEvent result{.ok = moved,
                     .session = session_.id(),
                     .container = request_.container,
                     .from = config_.node_name,
                     .to = request_.to_name.empty() ? request_.to : request_.to_name,
                     .pause_ms = pause_ms_,
                     .client_gap_ms = client_gap_ms_,
                     .rolled_back = !moved && !lost && state_->was_frozen,
                     .lost = lost,
                     .reason = state_->reason};
  if (prepared_) {
    result.network = network_mode_name(record_.reconnects ? NetworkMode::reconnect : NetworkMode::preserve);
  }
  result.memory_bytes = copy_totals_.memory_bytes;
  result.bytes_on_wire = copy_totals_.wire_bytes;
  result.rounds = copy_totals_.rounds;
  result.frozen_during_precopy_ms = copy_totals_.frozen_us / 1000;
  events_->phase(moved ? Phase::complete : Phase::failed);
  if (!moved && !lost && !record_.sandbox.empty()) {
    // If this fails it is kept beyond its sandbox's end, until the controller finds that no pod has it.
    if (auto stays = network::keep_no_longer(record_.sandbox); !stays) log_warning("{}", stays.error().message);
  }
  if (auto written = session_.write_result(result); !written) log_error("{}", written.error().message);
  for (const Result<>& removed : {session_.remove_working_files(), session_.remove_record()}) {
    if (!removed) log_warning("{}", removed.error().message);
  }
  events_->emit(result);
  ended_ = true;
  // A destination's late announcement may have been heard after ours.
  for (const int wait_ms : {100, 300, 600}) {
    if (moved || lost || !hold_) break;
    std::this_thread::sleep_for(milliseconds(wait_ms));
    if (auto announced = hold_->announce(); !announced) log_warning("{}", announced.error().message);
  }
}

}  // namespace godwit::agent
