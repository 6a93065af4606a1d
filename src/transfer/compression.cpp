#include "transfer/compression.h"

#include <algorithm>

namespace godwit::transfer {
namespace {

// One batch is 256 KiB, so a trial every 8 MiB costs little, and the first comes when the socket's buffers are full and
// the link can be felt.
constexpr uint64_t trial_interval_batches = 32;
constexpr size_t telling_bytes = size_t{16} << 10;  // fewer say nothing about a rate
constexpr double newest_weight = 0.125;
constexpr double gain_min = 0.1;  // less is not worth the processor time

double smoothed(double old, double newest) {
  return old == 0 ? newest : old + newest_weight * (newest - old);
}

double ns_per_byte(Clock::duration time, size_t bytes) {
  return std::chrono::duration<double, std::nano>(time).count() / static_cast<double>(bytes);
}

}  // namespace

bool CompressionChooser::next() {
  ++batches_;
  if (compression_ != Compression::automatic) return compression_ == Compression::lz4;
  return worthwhile_ || batches_ % trial_interval_batches == 0;
}

void CompressionChooser::sent(const EncodedCounts& counts, size_t wire_bytes, Clock::duration send_time) {
  if (compression_ != Compression::automatic) return;
  if (wire_bytes >= telling_bytes) link_ns_per_byte_ = smoothed(link_ns_per_byte_, ns_per_byte(send_time, wire_bytes));
  if (counts.codec_input_bytes < telling_bytes) return;
  codec_ns_per_byte_ = ns_per_byte(counts.codec_time, counts.codec_input_bytes);
  ratio_ = static_cast<double>(counts.codec_output_bytes) / static_cast<double>(counts.codec_input_bytes);
  const double link_ns = std::max(link_ns_per_byte_, 0.0);  // for a moment the estimate may be less than nothing
  const double saved_ns = link_ns * (1 - ratio_) - codec_ns_per_byte_;
  worthwhile_ = saved_ns > gain_min * link_ns;
}

}  // namespace godwit::transfer
