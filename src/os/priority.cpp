#include "os/priority.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

namespace godwit::os {
namespace {

// struct sched_attr of linux/sched/types.h, which cannot be included beside sched.h.
struct Attributes {
  uint32_t size;
  uint32_t policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime;
  uint64_t deadline;
  uint64_t period;
  uint32_t util_min;
  uint32_t util_max;
};
static_assert(sizeof(Attributes) == 56);

bool get(pid_t tid, Attributes& attributes) {
  return ::syscall(SYS_sched_getattr, tid, &attributes, sizeof(attributes), 0) == 0;
}

}  // namespace

PriorityBoost::PriorityBoost(pid_t tid, uint32_t level) : tid_(tid) {
  static_assert(sizeof(saved_) == sizeof(Attributes));
  Attributes before{};
  Attributes ours{};
  if (!get(tid, before) || !get(0, ours)) return;
  if (before.policy != SCHED_OTHER && before.policy != SCHED_BATCH && before.policy != SCHED_IDLE) return;
  // Since Linux 6.12 the time slice is told here. Setting the usual one would make it a wish of the thread's own.
  if (before.runtime == ours.runtime) before.runtime = 0;
  std::memcpy(saved_.data(), &before, sizeof(before));
  Attributes boosted{.size = sizeof(Attributes), .policy = SCHED_FIFO, .flags = before.flags, .priority = level};
  changed_ = ::syscall(SYS_sched_setattr, tid, &boosted, 0) == 0;
}

PriorityBoost::~PriorityBoost() {
  if (changed_) ::syscall(SYS_sched_setattr, tid_, saved_.data(), 0);
}

}  // namespace godwit::os
