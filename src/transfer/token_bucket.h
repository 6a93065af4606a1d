// A limit on bytes a second, shared by the lanes of a session and changeable while they run.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::transfer {

// Any thread. Who takes more than there is goes into debt, and all wait until it is paid: so a piece of any size passes
// whole, and the rate holds over time. Unused rate is saved for a short while only, so that a pause is not followed by
// a burst.
class TokenBucket {
 public:
  // 0: no limit.
  explicit TokenBucket(uint64_t bytes_per_s) : bytes_per_s_(bytes_per_s) {}

  // Waits until `bytes` may be sent. Error: ECONNABORTED after close().
  Result<> take(uint64_t bytes);
  void set_rate(uint64_t bytes_per_s);
  void close();

 private:
  void refill(Clock::time_point now);

  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t bytes_per_s_;
  double tokens_bytes_ = 0;
  Clock::time_point filled_ = Clock::now();
  bool closed_ = false;
};

}  // namespace godwit::transfer
