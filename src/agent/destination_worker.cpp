#include "agent/destination_worker.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "agent/failure_logs.h"
#include "agent/source_container.h"
#include "agent/worker_arguments.h"
#include "base/log.h"
#include "files/receiver.h"
#include "network/slot.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

using migration::DestinationEffect;
using migration::DestinationEffectKind;
using migration::DestinationEvent;
using migration::DestinationTimer;
using migration::MessageKind;
using nlohmann::json;

constexpr auto handshake_time = std::chrono::seconds(5);
constexpr auto restore_time = std::chrono::seconds(20);
constexpr auto grace_time = std::chrono::seconds(3);
constexpr auto retry_interval = std::chrono::seconds(1);
constexpr auto admission_time = std::chrono::seconds(5);
constexpr auto farewell_time = std::chrono::seconds(2);
constexpr auto forget_time = std::chrono::seconds(10);
constexpr size_t connections_max = 128;
// How long the file copy may be quiet: between two passes are rounds of memory. That the peer lives is the link's to
// know, and stop_receiving() ends the wait.
constexpr auto quiet_max = std::chrono::hours(1);

// A supervisor that is gone has been ended or restarted: no reason to end what has begun.
Result<> ask_admission(const UniqueFd& supervisor) {
  if (!os::send_message(supervisor.get(), "authenticated")) return {};
  const auto answer = os::receive_message(supervisor.get(), Deadline::after(admission_time));
  if (!answer || answer->text == admission_granted) return {};
  return fail("{}", answer->text);
}

}  // namespace

DestinationWorker::~DestinationWorker() {
  if (stop_) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof one);
  }
  if (inbox_thread_.joinable()) inbox_thread_.join();
  effects_.disown();
  effects_.wait();
  if (completion_.joinable()) completion_.join();
  if (link_) link_->stop();
  stop_receiving();
}

Result<> DestinationWorker::serve(UniqueFd control, UniqueFd admission) {
  GODWIT_ASSIGN(transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config_.ca_path, config_.certificate_path, config_.key_path));
  identity_.emplace(std::move(identity));
  GODWIT_ASSIGN(inbox_, os::listen_seqpacket(session_.path("worker.sock")));
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC));
  if (!stop_) return fail_errno("eventfd");
  auto stream = accept_stream(std::move(control), transfer::Role::control);
  if (!stream) {
    // Somebody without a certificate of ours: nothing has begun.
    GODWIT_TRY(session_.remove());
    return std::unexpected(std::move(stream.error()));
  }
  if (auto admitted = ask_admission(admission); !admitted) return refuse_at_once(**stream, admitted.error());
  admission.reset();
  source_name_ = (*stream)->peer_name();
  record_.source = source_name_;
  inbox_thread_ = std::thread([this] { accept_connections(); });
  link_ = PeerLink::start(
      std::move(*stream),
      {.message = [this](const PeerMessage& message) { on_message(message); },
       .note = [this](const std::string& name, uint64_t value) { on_note(name, value); },
       .lost =
           [this](const std::string& reason) {
             mailbox_.post({.kind = Kind::peer_lost, .reason = "the connection to the source broke: " + reason});
           }},
      session_.path("images"));
  drive(std::nullopt);
  return {};
}

// Before anything has begun. What the source has sent meanwhile is read, so that closing does not cost it the answer.
Result<> DestinationWorker::refuse_at_once(transfer::TlsStream& stream, Error reason) const {
  PeerMessage refusal{.message = {.kind = MessageKind::refused}, .body = {{"reason", reason.message}}};
  if (auto id = memory_id()) refusal.body["memory_id"] = *id;
  const Deadline deadline = Deadline::after(farewell_time);
  if (send_message(stream, refusal)) {
    while (receive_message(stream, deadline)) {
    }
  }
  GODWIT_TRY(session_.remove());
  return std::unexpected(std::move(reason));
}

Result<> DestinationWorker::recover(const std::optional<DestinationRecord>& record) {
  recovering_ = true;
  if (record) record_ = *record;
  state_->epoch = record_.epoch;
  Kind event = Kind::restarted;
  if (record_.verdict == Verdict::go) event = find_what_is_left();
  drive(DestinationEvent{.kind = event});
  return {};
}

void DestinationWorker::drive(std::optional<DestinationEvent> first) {
  if (first) mailbox_.post(std::move(*first));
  while (!ended_) {
    std::optional<DestinationEvent> event = mailbox_.take(timer_);
    if (!event) {
      timer_ = Deadline::never();
      event = DestinationEvent{.kind = Kind::timer};
    }
    const auto next = migration::step(*state_, *event);
    log_debug("destination: {} + {} -> {}", phase_name(state_->phase), event_name(event->kind),
              phase_name(next.state.phase));
    if (next.state.reason != state_->reason) log_info("destination: {}", next.state.reason);
    *state_ = next.state;
    for (const DestinationEffect& effect : next.effects) execute(effect);
  }
}

void DestinationWorker::run_effect(Kind done, std::function<Result<>()> effect, int repeat_key) {
  effects_.run(
      [this, done, epoch = state_->epoch, effect = std::move(effect)](const EffectRunner::Current& current) {
        const auto outcome = effect();
        if (!outcome) log_warning("{}", outcome.error().message);
        if (!current()) return;
        if (outcome) {
          mailbox_.post({.kind = done, .epoch = epoch});
        } else {
          mailbox_.post({.kind = Kind::failed, .reason = outcome.error().message});
        }
      },
      repeat_key);
}

void DestinationWorker::execute(const DestinationEffect& effect) {
  switch (effect.kind) {
    case DestinationEffectKind::make_slot:
      run_effect(Kind::slot_made, [this] { return make_slot(); });
      break;
    case DestinationEffectKind::take_address:
      run_effect(Kind::address_taken, [this, epoch = state_->epoch] { return take_address(epoch); });
      break;
    case DestinationEffectKind::release_address:
      effects_.run([this](const EffectRunner::Current&) {
        if (auto released = release_address(); !released) {
          mailbox_.post({.kind = Kind::failed, .reason = released.error().message});
        }
      });
      break;
    case DestinationEffectKind::restore:
      run_effect(Kind::restored, [this] { return with_failure_logs(restore(), session_, config_.node_name); });
      break;
    case DestinationEffectKind::record_go:
      run_effect(Kind::recorded, [this] {
        record_.verdict = Verdict::go;
        return session_.write_record(to_json(record_));
      });
      break;
    case DestinationEffectKind::resume:
      run_effect(Kind::resumed, [this] { return resume(); });
      break;
    case DestinationEffectKind::record_refusal:
      run_effect(Kind::recorded, [this] {
        record_.verdict = Verdict::refused;
        return session_.write_record(to_json(record_));
      });
      break;
    case DestinationEffectKind::discard:
      if (effects_.under_way(static_cast<int>(effect.kind))) break;
      effects_.disown();
      stop_receiving();
      run_effect(
          Kind::discarded, [this] { return recovering_ ? discard_recorded() : discard(); },
          static_cast<int>(effect.kind));
      break;
    case DestinationEffectKind::send:
      if (link_) link_->send(reply(effect.message));
      break;
    case DestinationEffectKind::answer: {
      const std::lock_guard lock(connections_mutex_);
      if (query_) {
        if (auto sent = send_message(*query_, reply(effect.message)); !sent) log_info("{}", sent.error().message);
      }
      query_.reset();
      break;
    }
    case DestinationEffectKind::start_timer:
      timer_ = Deadline::after(effect.timer == DestinationTimer::restore ? Clock::duration(restore_time)
                               : effect.timer == DestinationTimer::grace ? Clock::duration(grace_time)
                                                                         : Clock::duration(retry_interval));
      break;
    case DestinationEffectKind::stop_timer:
      timer_ = Deadline::never();
      break;
    case DestinationEffectKind::finish_running:
      finish(true);
      break;
    case DestinationEffectKind::finish_refused:
      finish(false);
      break;
  }
}

PeerMessage DestinationWorker::reply(MessageKind kind) const {
  PeerMessage message{.message = {.kind = kind, .epoch = state_->epoch}, .body = json::object()};
  if (auto id = memory_id()) message.body["memory_id"] = *id;
  if (kind == MessageKind::prepared) {
    message.body["network"] = network_mode_name(reconnects_ ? NetworkMode::reconnect : NetworkMode::preserve);
  }
  if (kind == MessageKind::refused) message.body["reason"] = state_->reason;
  if (kind == MessageKind::running && resumed_ms_ > 0) {
    message.body["resumed_ms"] = resumed_ms_.load();
    if (answered_ms_ > 0) message.body["answered_ms"] = answered_ms_.load();
    message.body["steps"] = json::array();
    for (const TimelineStep& step : timeline_.steps()) {
      message.body["steps"].push_back({{"name", step.name}, {"start_ms", step.start_ms}, {"ms", step.duration_ms}});
    }
  }
  return message;
}

void DestinationWorker::on_message(const PeerMessage& message) {
  DestinationEvent event{.kind = Kind::prepare, .epoch = message.message.epoch, .reason = ""};
  switch (message.message.kind) {
    case MessageKind::prepare:
      if (!prepare_body_.is_null()) return;
      prepare_body_ = message.body;
      break;
    case MessageKind::take_address:
      timeline_.begin();
      {
        const std::lock_guard lock(connections_mutex_);
        address_body_ = message.body;
      }
      event.kind = Kind::take_address;
      break;
    case MessageKind::release_address:
      event.kind = Kind::release_address;
      break;
    case MessageKind::restore:
      if (auto body = restore_from_json(message.body)) {
        const std::lock_guard lock(connections_mutex_);
        restore_body_ = std::move(*body);
        event.kind = Kind::restore;
      } else {
        event = {.kind = Kind::abort, .reason = body.error().message};
      }
      break;
    case MessageKind::go:
      event.kind = Kind::go;
      break;
    case MessageKind::abort:
      event.kind = Kind::abort;
      break;
    case MessageKind::forget:
      forgotten_ = true;
      return;
    default:
      return;
  }
  mailbox_.post(std::move(event));
}

void DestinationWorker::on_note(const std::string& name, uint64_t value) {
  const std::lock_guard lock(connections_mutex_);
  if (store_ == nullptr || !receiving_) return;
  if (name == "round") store_->begin_round(static_cast<uint32_t>(value));
  if (name == "ended") store_->drop_process(static_cast<uint32_t>(value));
}

// Connections of this session that the supervisor accepted.
void DestinationWorker::accept_connections() {
  for (;;) {
    pollfd ready[2] = {{stop_.get(), POLLIN, 0}, {inbox_.get(), POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0 && errno != EINTR) return;
    if (ready[0].revents != 0) return;
    if (ready[1].revents == 0) continue;
    const UniqueFd supervisor(::accept4(inbox_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    auto passed = os::receive_message(supervisor.get(), Deadline::after(std::chrono::seconds(1)));
    if (!passed || !passed->fd) continue;
    const bool pod = passed->text == pod_role;
    const auto role = transfer::role_by_name(passed->text);
    const std::lock_guard lock(connections_mutex_);
    if (!receiving_ && role != transfer::Role::query) continue;
    std::erase_if(connection_threads_, [](ConnectionThread& connection) {
      if (!*connection.ended) return false;
      connection.thread.join();
      return true;
    });
    if (connection_threads_.size() >= connections_max) {
      log_warning("more than {} connections: refused", connections_max);
      continue;
    }
    start_thread([this, pod, role, fd = passed->fd.release()] {
      if (pod) serve_pod(UniqueFd(fd));
      if (role == transfer::Role::lane) serve_lane(UniqueFd(fd));
      if (role == transfer::Role::files) serve_files(UniqueFd(fd));
      if (role == transfer::Role::query) serve_query(UniqueFd(fd));
    });
  }
}

// With connections_mutex_ held.
void DestinationWorker::start_thread(std::function<void()> serve) {
  auto ended = std::make_shared<std::atomic<bool>>(false);
  std::thread thread([serve = std::move(serve), ended] {
    serve();
    *ended = true;
  });
  connection_threads_.push_back({.thread = std::move(thread), .ended = std::move(ended)});
}

// All connections of a session are of the node that began it: another one has a certificate too, but no business here.
Result<std::unique_ptr<transfer::TlsStream>> DestinationWorker::accept_stream(UniqueFd connection,
                                                                              transfer::Role role) const {
  GODWIT_ASSIGN(auto stream,
                transfer::TlsStream::accept(std::move(connection), *identity_, Deadline::after(handshake_time),
                                            transfer::tls_purpose({.session = session_.id(), .role = role})));
  if (role != transfer::Role::control && stream->peer_name() != source_name_) {
    return fail("node '{}' connects to a session of node '{}'", stream->peer_name(), source_name_);
  }
  return stream;
}

void DestinationWorker::serve_lane(UniqueFd connection) {
  auto stream = accept_stream(std::move(connection), transfer::Role::lane);
  if (!stream) return log_warning("lane: {}", stream.error().message);
  const std::lock_guard lock(connections_mutex_);
  if (!receiving_ || lanes_ == nullptr) return;
  if (auto added = lanes_->add_lane(std::move(*stream)); !added) log_warning("lane: {}", added.error().message);
}

// The lanes have no end of their own: the source closes them when it needs them no more.
void DestinationWorker::watch_lanes() {
  const auto ended = lanes_->wait_ended(Deadline::never());
  const std::lock_guard lock(connections_mutex_);
  if (!receiving_) return;
  mailbox_.post({.kind = Kind::failed, .reason = "pages: " + (ended ? "the lanes ended" : ended.error().message)});
}

void DestinationWorker::serve_files(UniqueFd connection) {
  auto stream = accept_stream(std::move(connection), transfer::Role::files);
  if (!stream) return log_warning("files: {}", stream.error().message);
  (*stream)->set_idle_timeout(quiet_max);
  std::vector<files::DestinationRoot> roots;
  {
    const std::lock_guard lock(connections_mutex_);
    if (!receiving_) return;
    for (const auto& container : containers_) {
      if (!container) return;
      for (files::DestinationRoot& root : container->file_roots()) roots.push_back(std::move(root));
    }
    connection_streams_.push_back(stream->get());
  }
  auto receiver = files::FileReceiver::open(roots, {}, **stream);
  Result<> outcome = receiver ? Result<>() : std::unexpected(receiver.error());
  // Even a final pass may be followed by another, if the freeze came to nothing; the stream's end ends it.
  while (outcome) {
    if (auto pass = (*receiver)->receive_pass(); !pass) outcome = std::unexpected(pass.error());
  }
  const std::lock_guard lock(connections_mutex_);
  std::erase(connection_streams_, stream->get());
  if (!receiving_) return;
  // A source whose pages were refused ends the files too, so the lanes' failure is the reason if there is one.
  const std::optional<Error> pages = lanes_ ? lanes_->failure() : std::nullopt;
  mailbox_.post(
      {.kind = Kind::failed, .reason = pages ? "pages: " + pages->message : "files: " + outcome.error().message});
}

void DestinationWorker::serve_query(UniqueFd connection) {
  auto stream = accept_stream(std::move(connection), transfer::Role::query);
  if (!stream) return log_warning("query: {}", stream.error().message);
  auto question = receive_message(**stream, Deadline::after(handshake_time));
  if (!question || question->message.kind != MessageKind::query) return;
  {
    const std::lock_guard lock(connections_mutex_);
    query_ = std::move(*stream);
  }
  mailbox_.post({.kind = Kind::query, .epoch = question->message.epoch, .reason = ""});
}

// No page or file is wanted any more. Can be repeated.
void DestinationWorker::stop_receiving() {
  std::vector<ConnectionThread> threads;
  {
    const std::lock_guard lock(connections_mutex_);
    receiving_ = false;
    pod_changed_.notify_all();
    if (lanes_) lanes_->abort();
    for (transfer::TlsStream* stream : connection_streams_) stream->shutdown();
    threads.swap(connection_threads_);
  }
  for (ConnectionThread& connection : threads) connection.thread.join();
}

void DestinationWorker::finish(bool running) {
  ResultEvent result{.ok = running && state_->reason.empty(),
                     .session = session_.id(),
                     .container = record_.container,
                     .to = config_.node_name,
                     .reason = state_->reason};
  if (running && result.ok && !completion_error_.empty()) {
    result.ok = false;
    result.reason = completion_error_;
  }
  result.lost = running && !result.ok;
  if (auto written = session_.write_result(result); !written) log_error("{}", written.error().message);
  events_->phase(running ? Phase::complete : Phase::failed);
  events_->emit(result);
  container_lock_.reset();  // it may go on to the next node
  if (running && !recovering_) wait_for_forget();
  // "Never ran here" is also what is said of a session that nobody knows; "ran here" must be remembered.
  if (!running || forgotten_) {
    if (auto removed = session_.remove_record(); !removed) log_warning("{}", removed.error().message);
  }
  if (auto removed = session_.remove_working_files(); !removed) log_warning("{}", removed.error().message);
  ended_ = true;
}

void DestinationWorker::wait_for_forget() {
  const Deadline deadline = Deadline::after(forget_time);
  while (!forgotten_ && !deadline.expired()) {
    auto event = mailbox_.take(Deadline::after(milliseconds(20)));
    if (!event) continue;
    if (event->kind == Kind::peer_lost) return;
    const auto next = migration::step(*state_, *event);
    for (const DestinationEffect& effect : next.effects) execute(effect);
  }
}

}  // namespace godwit::agent
