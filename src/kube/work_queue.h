// Keys of objects that need attention, each at most once in the queue and never worked on by two threads at a time.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "base/deadline.h"
#include "kube/backoff.h"

namespace godwit::kube {

// Any thread may call it. The worker's loop:
//
//   while (auto key = queue.take(Deadline::never())) {
//     if (work_on(*key)) queue.forget(*key); else queue.add_after_failure(*key);
//     queue.done(*key);
//   }
class WorkQueue {
 public:
  explicit WorkQueue(BackoffLimits limits = {milliseconds(50), milliseconds(60'000), 0.2}) : limits_(limits) {}

  // A key that is queued stays where it is; one that is being worked on is queued again when that is done.
  void add(const std::string& key);
  // As add(), later. Of several times for one key the soonest counts.
  void add_after(const std::string& key, Clock::duration span);
  // As add_after(), the longer the more often this key failed since forget().
  void add_after_failure(const std::string& key);
  void forget(const std::string& key);
  int failures(const std::string& key) const;

  // Waits for a key; done() must follow. Nothing: the deadline passed, or the queue is shut down.
  std::optional<std::string> take(Deadline deadline);
  void done(const std::string& key);

  // take() returns nothing from now on, also to those who wait; what is queued is dropped.
  void shut_down();
  [[nodiscard]] size_t size() const;  // queued, those for later included

 private:
  void enqueue(const std::string& key);
  void enqueue_what_is_due(Clock::time_point now);

  const BackoffLimits limits_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool shut_down_ = false;
  Jitter jitter_;
  std::deque<std::string> ready_;
  std::unordered_set<std::string> queued_;  // in ready_, or waiting for done()
  std::unordered_set<std::string> in_work_;
  std::set<std::pair<Clock::time_point, std::string>> later_;
  std::unordered_map<std::string, Clock::time_point> later_by_key_;
  std::unordered_map<std::string, int> failures_;
};

}  // namespace godwit::kube
