// Whether a lane compresses: decided by what the link and the codec really do, measured while sending.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/deadline.h"
#include "transfer/lane_encoder.h"

namespace godwit::transfer {

enum class Compression : uint8_t {
  automatic,  // LZ4 while it makes the transfer faster: on slow links, for memory that shrinks
  off,
  lz4,
};

// One lane's, on the lane's thread. For `automatic` it compresses a batch now and then as a trial and compares: a byte
// costs the link's time, or the codec's time and the link's for what is left of it.
class CompressionChooser {
 public:
  explicit CompressionChooser(Compression compression) : compression_(compression) {}

  // Whether to compress the next batch.
  [[nodiscard]] bool next();
  // What the batch brought. `send_time` includes waiting for the link and for the bandwidth limit, but not for the
  // peer. It may be negative, because the kernel tells with delay how long the peer was waited for: only the sum
  // counts.
  void sent(const EncodedCounts& counts, size_t wire_bytes, Clock::duration send_time);

 private:
  const Compression compression_;
  bool worthwhile_ = false;
  uint64_t batches_ = 0;
  double link_ns_per_byte_ = 0;
  double codec_ns_per_byte_ = 0;
  double ratio_ = 1;
};

}  // namespace godwit::transfer
