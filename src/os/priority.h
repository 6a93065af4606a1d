// Running a thread before others for a moment.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>

namespace godwit::os {

// While it lives, a thread runs as soon as it can, before all that are scheduled fairly and whatever its cgroup's share
// of the processor is. Without the right to do that, or if it has a real-time policy of its own, nothing is changed.
class PriorityBoost {
 public:
  // `level`: those with a higher one run before those with a lower one; from 1. `tid` 0: the calling thread.
  PriorityBoost(pid_t tid, uint32_t level);
  PriorityBoost(const PriorityBoost&) = delete;
  PriorityBoost& operator=(const PriorityBoost&) = delete;
  ~PriorityBoost();

 private:
  pid_t tid_;
  bool changed_ = false;
  std::array<uint32_t, 14> saved_{};  // struct sched_attr
};

}  // namespace godwit::os
