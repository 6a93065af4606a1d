#include "kube/event_recorder.h"

#include <utility>

#include "base/log.h"

namespace godwit::kube {
namespace {

constexpr std::chrono::seconds tick(10);  // how often series that are over are looked for
constexpr std::chrono::seconds write_time_max(10);
constexpr std::chrono::seconds farewell_max(2);

}  // namespace

EventRecorder::EventRecorder(Client& client, RecorderOptions options)
    : client_(client), options_(std::move(options)), series_(options_.source, options_.limits) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

EventRecorder::~EventRecorder() = default;

void EventRecorder::record(EventNote note) {
  const std::lock_guard lock(mutex_);
  if (queue_.size() >= options_.queue_max) {
    ++figures_.dropped;
    return;
  }
  queue_.push_back({std::move(note), std::chrono::system_clock::now()});
  changed_.notify_all();
}

bool EventRecorder::flush(Deadline deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline.when(), [&] { return queue_.empty() && !busy_; });
}

RecorderFigures EventRecorder::figures() const {
  const std::lock_guard lock(mutex_);
  return figures_;
}

void EventRecorder::count(bool written) {
  const std::lock_guard lock(mutex_);
  ++(written ? figures_.written : figures_.dropped);
}

std::optional<EventRecorder::Queued> EventRecorder::take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  busy_ = false;
  changed_.notify_all();
  changed_.wait_for(lock, stop, tick, [&] { return !queue_.empty(); });
  if (queue_.empty()) return std::nullopt;
  Queued first = std::move(queue_.front());
  queue_.pop_front();
  busy_ = true;
  return first;
}

void EventRecorder::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    if (const auto queued = take(stop)) {
      write_all(series_.add(queued->note, Clock::now(), queued->when), stop, Deadline::never());
    }
    write_all(series_.due(Clock::now()), stop, Deadline::never());
  }
  const Deadline farewell = Deadline::after(farewell_max);
  write_all(std::exchange(interrupted_, {}), {}, farewell);
  while (const auto queued = take(stop)) {
    write_all(series_.add(queued->note, Clock::now(), queued->when), {}, farewell);
  }
  write_all(series_.finish(), {}, farewell);
}

void EventRecorder::write_all(const std::vector<EventWrite>& writes, const std::stop_token& stop, Deadline deadline) {
  for (const EventWrite& one : writes) {
    Backoff backoff(options_.backoff);
    for (int tries = 1;; ++tries) {
      const Call call{.deadline = deadline.sooner(Deadline::after(write_time_max)), .stop = stop};
      const ApiResult<> result = write(one, call);
      // Made by an earlier try whose answer was lost.
      const bool there = !result && one.create && result.error().already_exists();
      if (result || there) {
        count(true);
        break;
      }
      if (result.error().stopped()) {
        interrupted_.push_back(one);
        break;
      }
      if (!result.error().temporary() || tries >= options_.tries_max || deadline.expired()) {
        log_warning("event lost: {}", result.error().message);
        count(false);
        break;
      }
      const milliseconds wait = std::max(backoff.next(), result.error().retry_after.value_or(milliseconds(0)));
      sleep_unless_stopped(wait, deadline, stop);
    }
  }
}

ApiResult<> EventRecorder::write(const EventWrite& write, const Call& call) {
  const ObjectPath collection{resources::events, write.namespace_name, "", ""};
  if (write.create) {
    GODWIT_TRY(client_.create(collection, write.body, call));
    return {};
  }
  const auto patched =
      client_.patch({resources::events, write.namespace_name, write.name, ""}, PatchType::merge, write.body, call);
  if (patched) return {};
  if (!patched.error().not_found()) return std::unexpected(patched.error());
  GODWIT_TRY(client_.create(collection, write.whole, call));
  return {};
}

}  // namespace godwit::kube
