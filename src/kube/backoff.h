// How long to wait before trying again: doubling, with jitter, so that many clients do not come back together.
#pragma once

#include <chrono>
#include <random>

#include "base/deadline.h"

namespace godwit::kube {

struct BackoffLimits {
  milliseconds first{250};
  milliseconds most{30'000};
  double jitter = 0.5;  // a delay d becomes something in [d * (1 - jitter), d * (1 + jitter)], but at most `most`
};

// The delay before try number `failures` + 1; `random` is from [0, 1).
milliseconds backoff_delay(const BackoffLimits& limits, int failures, double random);

// A source of [0, 1), seeded by the operating system. Not thread-safe.
class Jitter {
 public:
  double next() { return std::uniform_real_distribution<double>(0, 1)(engine_); }

 private:
  std::mt19937_64 engine_{std::random_device{}()};
};

// Not thread-safe.
class Backoff {
 public:
  explicit Backoff(BackoffLimits limits) : limits_(limits) {}
  milliseconds next() { return backoff_delay(limits_, failures_++, jitter_.next()); }
  void reset() { failures_ = 0; }

 private:
  BackoffLimits limits_;
  Jitter jitter_;
  int failures_ = 0;
};

}  // namespace godwit::kube
