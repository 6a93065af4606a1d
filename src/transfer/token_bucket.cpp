#include "transfer/token_bucket.h"

#include <algorithm>

namespace godwit::transfer {
namespace {

constexpr double saved_s_max = 0.02;

}  // namespace

void TokenBucket::refill(Clock::time_point now) {
  const auto rate = static_cast<double>(bytes_per_s_);
  const double elapsed_s = std::chrono::duration<double>(now - filled_).count();
  tokens_bytes_ = std::min(tokens_bytes_ + elapsed_s * rate, saved_s_max * rate);
  filled_ = now;
}

Result<> TokenBucket::take(uint64_t bytes) {
  std::unique_lock lock(mutex_);
  while (!closed_ && bytes_per_s_ != 0) {
    refill(Clock::now());
    if (tokens_bytes_ >= 0) {
      tokens_bytes_ -= static_cast<double>(bytes);
      return {};
    }
    const std::chrono::duration<double> wait(-tokens_bytes_ / static_cast<double>(bytes_per_s_));
    changed_.wait_for(lock, wait);
  }
  if (!closed_) return {};
  errno = ECONNABORTED;
  return fail_errno("transfer ended here");
}

void TokenBucket::set_rate(uint64_t bytes_per_s) {
  {
    const std::lock_guard lock(mutex_);
    if (bytes_per_s_ != 0) refill(Clock::now());
    // Debt is in bytes of the old rate; a much higher one need not wait for it, nor a lower one longer than before.
    if (bytes_per_s_ != 0) tokens_bytes_ *= static_cast<double>(bytes_per_s) / static_cast<double>(bytes_per_s_);
    bytes_per_s_ = bytes_per_s;
    filled_ = Clock::now();
  }
  changed_.notify_all();
}

void TokenBucket::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

}  // namespace godwit::transfer
