#include "kube/work_queue.h"

#include "base/result.h"

namespace godwit::kube {

void WorkQueue::enqueue(const std::string& key) {
  if (shut_down_ || !queued_.insert(key).second) return;
  if (in_work_.contains(key)) return;  // done() puts it into ready_
  ready_.push_back(key);
  changed_.notify_one();
}

void WorkQueue::add(const std::string& key) {
  const std::lock_guard lock(mutex_);
  enqueue(key);
}

void WorkQueue::add_after(const std::string& key, Clock::duration span) {
  const std::lock_guard lock(mutex_);
  if (shut_down_) return;
  if (span <= Clock::duration::zero()) return enqueue(key);
  const auto when = Clock::now() + span;
  if (const auto known = later_by_key_.find(key); known != later_by_key_.end()) {
    if (known->second <= when) return;
    later_.erase({known->second, key});
  }
  later_.emplace(when, key);
  later_by_key_[key] = when;
  changed_.notify_one();
}

void WorkQueue::add_after_failure(const std::string& key) {
  milliseconds delay{};
  {
    const std::lock_guard lock(mutex_);
    delay = backoff_delay(limits_, failures_[key]++, jitter_.next());
  }
  add_after(key, delay);
}

void WorkQueue::forget(const std::string& key) {
  const std::lock_guard lock(mutex_);
  failures_.erase(key);
}

int WorkQueue::failures(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto at = failures_.find(key);
  return at == failures_.end() ? 0 : at->second;
}

void WorkQueue::enqueue_what_is_due(Clock::time_point now) {
  while (!later_.empty() && later_.begin()->first <= now) {
    const std::string key = later_.begin()->second;
    later_.erase(later_.begin());
    later_by_key_.erase(key);
    enqueue(key);
  }
}

std::optional<std::string> WorkQueue::take(Deadline deadline) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (shut_down_) return std::nullopt;
    enqueue_what_is_due(Clock::now());
    if (!ready_.empty()) break;
    if (deadline.expired()) return std::nullopt;
    const auto due = later_.empty() ? Clock::time_point::max() : later_.begin()->first;
    if (const auto until = std::min(due, deadline.when()); until == Clock::time_point::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, until);
    }
  }
  std::string key = std::move(ready_.front());
  ready_.pop_front();
  queued_.erase(key);
  in_work_.insert(key);
  return key;
}

void WorkQueue::done(const std::string& key) {
  const std::lock_guard lock(mutex_);
  GODWIT_CHECK(in_work_.erase(key) == 1);
  if (!queued_.contains(key) || shut_down_) return;
  ready_.push_back(key);
  changed_.notify_one();
}

void WorkQueue::shut_down() {
  const std::lock_guard lock(mutex_);
  shut_down_ = true;
  ready_.clear();
  queued_.clear();
  later_.clear();
  later_by_key_.clear();
  changed_.notify_all();
}

size_t WorkQueue::size() const {
  const std::lock_guard lock(mutex_);
  return queued_.size() + later_.size();
}

}  // namespace godwit::kube
