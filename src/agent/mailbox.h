#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "base/deadline.h"

namespace godwit::agent {

// The one queue of a worker: every thread of it posts here, its main thread takes, and only the main thread drives the
// state machine.
template <typename T>
class Mailbox {
 public:
  void post(T item) {
    {
      const std::lock_guard lock(mutex_);
      items_.push_back(std::move(item));
    }
    filled_.notify_one();
  }

  // nullopt when the deadline passes first.
  std::optional<T> take(Deadline deadline) {
    std::unique_lock lock(mutex_);
    const auto filled = [this] { return !items_.empty(); };
    if (deadline.poll_timeout_ms() < 0) {
      filled_.wait(lock, filled);
    } else if (!filled_.wait_until(lock, deadline.when(), filled)) {
      return std::nullopt;
    }
    T item = std::move(items_.front());
    items_.pop_front();
    return item;
  }

 private:
  std::mutex mutex_;
  std::condition_variable filled_;
  std::deque<T> items_;
};

}  // namespace godwit::agent
