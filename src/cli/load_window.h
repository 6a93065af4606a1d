// Adds up what the demo's clients see in one stretch of time (load_report.h says what the figures mean).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "cli/load_report.h"

namespace godwit::cli {

// Counts of waits by size, 16 steps to a factor of two: percentiles within 5 % in constant space.
class WaitHistogram {
 public:
  void add(double ms);
  // Nearest rank; the upper edge of its step. 0 if empty.
  [[nodiscard]] double percentile_ms(double percent) const;

 private:
  static constexpr size_t steps_per_octave = 16;
  static constexpr size_t octaves = 32;  // from 1 us
  std::array<uint64_t, octaves * steps_per_octave> counts_{};
  uint64_t total_ = 0;
};

// Owned by the engine, used by its thread.
class LoadWindow {
 public:
  LoadWindow(Clock::time_point began, size_t clients) : began_(began), longest_ms_(clients, 0) {}

  void on_reply(size_t client, double wait_ms);
  // Waited, but not answered yet.
  void on_wait(size_t client, double wait_ms);
  void on_lost(const std::string& problem);
  void on_reordered(const std::string& problem);
  void on_reset(const std::string& problem);
  [[nodiscard]] WindowReport report(Clock::time_point now) const;
  [[nodiscard]] Clock::time_point began() const { return began_; }

 private:
  void remember(const std::string& problem);

  Clock::time_point began_;
  std::vector<double> longest_ms_;  // of each client
  WaitHistogram waits_;
  WindowReport report_;
};

}  // namespace godwit::cli
