#include "memory/convergence.h"

#include <algorithm>

namespace godwit::memory {
namespace {

// A round that shortens the rest by less than this part of it brings nothing worth its time.
constexpr double gain_min = 0.1;
// Nor is there anything to gain below this.
constexpr double rest_ms_min = 0.5;
// So many such rounds in a row, and the next are taken to bring as little. One may be chance.
constexpr uint32_t rounds_without_gain_max = 3;
// Writes at this part of the send rate or more: rounds cannot catch up with them.
constexpr double converging_rate_max = 0.9;
// Over how much sent memory the send rate is measured, and within how many rounds: less than that measures the latency
// of a round rather than the link.
constexpr uint64_t rate_sample_bytes = 32 << 20;
constexpr size_t rate_rounds_max = 8;
constexpr uint64_t page_bytes = 4096;

double rate(uint64_t bytes, double seconds) {
  return seconds > 0 ? static_cast<double>(bytes) / seconds : 0;
}

}  // namespace

const char* to_string(StopReason reason) {
  switch (reason) {
    case StopReason::none:
      return "go on";
    case StopReason::threshold:
      return "few enough dirty pages";
    case StopReason::requested_pause:
      return "the predicted pause is as short as requested";
    case StopReason::no_gain:
      return "another round would not shorten the pause";
    case StopReason::not_converging:
      return "memory changes as fast as it can be sent";
    case StopReason::rounds_max:
      return "the limit of rounds is reached";
  }
  return "?";
}

double Convergence::send_rate() const {
  uint64_t bytes = 0;
  double seconds = 0;
  size_t counted = 0;
  for (auto round = rounds_.rbegin(); round != rounds_.rend() && counted < rate_rounds_max; ++round, ++counted) {
    if (bytes >= rate_sample_bytes) break;
    if (round->sent_bytes == 0) continue;
    bytes += round->sent_bytes;
    seconds += round->seconds;
  }
  return rate(bytes, seconds);
}

// The freeze finds what is written while the last round lasts. Writes go to the same pages again and again, so a
// shorter round does not find as much less: as long as rounds get shorter, the last finding is taken as it is, which
// errs on the long side. A longer round finds more.
uint64_t Convergence::predicted_dirty_bytes() const {
  const RoundMeasure& last = rounds_.back();
  if (rounds_.size() == 1) return last.dirty_bytes;
  const double before = rounds_[rounds_.size() - 2].seconds;
  if (last.seconds <= before || before <= 0) return last.dirty_bytes;
  const double grown = static_cast<double>(last.dirty_bytes) * last.seconds / before;
  const auto most = static_cast<double>(std::max(rounds_.front().dirty_bytes, last.dirty_bytes));
  return static_cast<uint64_t>(std::min(grown, most));
}

Decision Convergence::add(const RoundMeasure& round) {
  rounds_.push_back(round);
  Decision decision;
  decision.send_bytes_per_second = send_rate();
  decision.predicted_dirty_bytes = predicted_dirty_bytes();
  // The first round finds all memory: that says nothing of writes.
  if (rounds_.size() > 1) {
    decision.dirty_bytes_per_second = rate(round.dirty_bytes, rounds_[rounds_.size() - 2].seconds);
  }
  const double rest_ms =
      decision.send_bytes_per_second > 0
          ? 1000 * static_cast<double>(decision.predicted_dirty_bytes) / decision.send_bytes_per_second
          : 0;
  decision.predicted_pause_ms = options_.base_pause_ms + rest_ms;
  decision.reason = judge(decision);
  decision.stop = decision.reason != StopReason::none;
  return decision;
}

StopReason Convergence::judge(const Decision& decision) {
  const double rest_ms = decision.predicted_pause_ms - options_.base_pause_ms;
  const bool first = rounds_.size() == 1;
  const bool gained = first || rest_ms < best_rest_ms_ * (1 - gain_min);
  rounds_without_gain_ = gained ? 0 : rounds_without_gain_ + 1;
  best_rest_ms_ = first ? rest_ms : std::min(best_rest_ms_, rest_ms);

  const uint64_t dirty_pages = rounds_.back().dirty_bytes / page_bytes;
  if (options_.dirty_pages_threshold > 0 && dirty_pages <= options_.dirty_pages_threshold) return StopReason::threshold;
  if (options_.requested_freeze_ms > 0 && decision.predicted_pause_ms <= options_.requested_freeze_ms) {
    return StopReason::requested_pause;
  }
  if (rest_ms <= rest_ms_min) return StopReason::no_gain;
  const uint32_t patience = options_.goal == ConvergenceOptions::Goal::dump_time ? 1 : rounds_without_gain_max;
  if (rounds_without_gain_ >= patience) {
    const bool outrun = decision.dirty_bytes_per_second >= converging_rate_max * decision.send_bytes_per_second;
    return outrun ? StopReason::not_converging : StopReason::no_gain;
  }
  return rounds_.size() >= options_.rounds_max ? StopReason::rounds_max : StopReason::none;
}

}  // namespace godwit::memory
