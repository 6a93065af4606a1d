#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "agent/events.h"
#include "base/deadline.h"

namespace godwit::agent {

// What happened when, in one worker, for the account of the pause. Any thread.
class Timeline {
 public:
  // The moment that steps are shown relative to; earlier steps are forgotten.
  void begin() {
    const std::lock_guard lock(mutex_);
    zero_ = Clock::now();
    steps_.clear();
  }
  [[nodiscard]] Clock::time_point zero() const {
    const std::lock_guard lock(mutex_);
    return zero_;
  }
  void add(std::string name, Clock::time_point from, Clock::time_point to = Clock::now()) {
    const std::lock_guard lock(mutex_);
    if (steps_.size() >= timeline_steps_max) return;
    steps_.push_back(
        {.name = std::move(name), .start_ms = elapsed_ms(zero_, from), .duration_ms = elapsed_ms(from, to)});
  }
  // In the order in which they ended.
  [[nodiscard]] std::vector<TimelineStep> steps() const {
    const std::lock_guard lock(mutex_);
    return steps_;
  }

 private:
  mutable std::mutex mutex_;
  Clock::time_point zero_ = Clock::now();
  std::vector<TimelineStep> steps_;
};

// Adds a step from its making to its end.
class TimedStep {
 public:
  TimedStep(Timeline& timeline, std::string name) : timeline_(timeline), name_(std::move(name)) {}
  ~TimedStep() { timeline_.add(std::move(name_), from_); }
  TimedStep(const TimedStep&) = delete;
  TimedStep& operator=(const TimedStep&) = delete;

 private:
  Timeline& timeline_;
  std::string name_;
  Clock::time_point from_ = Clock::now();
};

}  // namespace godwit::agent
