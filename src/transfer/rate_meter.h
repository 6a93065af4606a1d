// How fast the lanes send while they have something to send.
#pragma once

#include <cstdint>
#include <mutex>

#include "base/deadline.h"

namespace godwit::transfer {

// Any thread. Time in which no lane is busy does not count, so that the rate is what a round can be predicted by. Older
// traffic weighs less: half after 0.2 s of busy time.
class RateMeter {
 public:
  // Around each batch of a lane.
  void begin(Clock::time_point now);
  void end(Clock::time_point now, uint64_t bytes);
  // Bytes a second; 0 before anything was sent.
  [[nodiscard]] double bytes_per_s() const;

 private:
  void advance(Clock::time_point now);

  mutable std::mutex mutex_;
  uint32_t busy_lanes_ = 0;
  Clock::time_point counted_until_;
  double seconds_ = 0;
  double bytes_ = 0;
};

}  // namespace godwit::transfer
