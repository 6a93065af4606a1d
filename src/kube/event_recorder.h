// Writes events about API objects, in the background.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>

#include "kube/backoff.h"
#include "kube/client.h"
#include "kube/event_series.h"

namespace godwit::kube {

struct RecorderFigures {
  uint64_t written = 0;
  uint64_t dropped = 0;  // the queue was full, or the server refused for good
};

struct RecorderOptions {
  EventSource source;
  SeriesLimits limits;
  size_t queue_max = 1000;
  int tries_max = 8;  // for a write that fails for reasons that may pass; with the back-off about half a minute
  BackoffLimits backoff{milliseconds(200), milliseconds(10'000), 0.5};
};

// Owns a thread from its construction; any thread may call it. `client` must outlive it.
class EventRecorder {
 public:
  EventRecorder(Client& client, RecorderOptions options);
  // Writes what is queued and the counts of open series, for two seconds at most.
  ~EventRecorder();
  EventRecorder(const EventRecorder&) = delete;
  EventRecorder& operator=(const EventRecorder&) = delete;

  // Never waits. When the queue is full the event is dropped and counted.
  void record(EventNote note);
  // Waits until all that was recorded so far is written or dropped.
  bool flush(Deadline deadline);
  [[nodiscard]] RecorderFigures figures() const;

 private:
  struct Queued {
    EventNote note;
    WallTime when;
  };

  void run(const std::stop_token& stop);
  std::optional<Queued> take(const std::stop_token& stop);
  void write_all(const std::vector<EventWrite>& writes, const std::stop_token& stop, Deadline deadline);
  ApiResult<> write(const EventWrite& write, const Call& call);
  void count(bool written);

  Client& client_;
  const RecorderOptions options_;
  // Only the recorder's thread.
  EventSeries series_;
  std::vector<EventWrite> interrupted_;  // by the request to stop; written on the way out

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Queued> queue_;
  bool busy_ = false;
  RecorderFigures figures_;
  std::jthread thread_;  // last: it ends before the rest goes
};

}  // namespace godwit::kube
