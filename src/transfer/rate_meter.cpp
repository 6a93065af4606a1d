#include "transfer/rate_meter.h"

#include <cmath>

namespace godwit::transfer {
namespace {

constexpr double half_life_s = 0.2;

}  // namespace

void RateMeter::advance(Clock::time_point now) {
  if (busy_lanes_ > 0 && now > counted_until_) {
    const double elapsed_s = std::chrono::duration<double>(now - counted_until_).count();
    const double kept = std::exp2(-elapsed_s / half_life_s);
    seconds_ = seconds_ * kept + elapsed_s;
    bytes_ *= kept;
  }
  counted_until_ = now;
}

void RateMeter::begin(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  advance(now);
  ++busy_lanes_;
}

void RateMeter::end(Clock::time_point now, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  advance(now);
  --busy_lanes_;
  bytes_ += static_cast<double>(bytes);
}

double RateMeter::bytes_per_s() const {
  const std::lock_guard lock(mutex_);
  return seconds_ > 0 ? bytes_ / seconds_ : 0;
}

}  // namespace godwit::transfer
