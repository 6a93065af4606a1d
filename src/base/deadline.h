#pragma once

#include <algorithm>
#include <chrono>
#include <climits>

namespace godwit {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The moment by which something must be done. Everything that waits takes one.
class Deadline {
 public:
  static Deadline after(Clock::duration span) { return Deadline(Clock::now() + span); }
  static Deadline at(Clock::time_point when) { return Deadline(when); }
  static Deadline never() { return Deadline(Clock::time_point::max()); }

  [[nodiscard]] bool expired() const { return when_ != Clock::time_point::max() && Clock::now() >= when_; }
  // For poll(2): whole milliseconds left, rounded up; 0 if expired, -1 if never.
  [[nodiscard]] int poll_timeout_ms() const {
    if (when_ == Clock::time_point::max()) return -1;
    const auto left = std::chrono::ceil<milliseconds>(when_ - Clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, INT_MAX));
  }
  [[nodiscard]] Clock::time_point when() const { return when_; }
  [[nodiscard]] Deadline sooner(Deadline other) const { return Deadline(std::min(when_, other.when_)); }

 private:
  explicit Deadline(Clock::time_point when) : when_(when) {}
  Clock::time_point when_;
};

// Milliseconds between two moments, with fractions.
inline double elapsed_ms(Clock::time_point from, Clock::time_point to = Clock::now()) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

}  // namespace godwit
