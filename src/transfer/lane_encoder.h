// Turns pages into the bytes of a lane: reads them, finds the zero pages, compresses if told to, and puts headers where
// they belong, without moving what was read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "transfer/lane_frame.h"
#include "transfer/lane_queue.h"

namespace godwit::transfer {

struct EncodedCounts {
  uint64_t data_pages = 0;
  uint64_t zero_pages = 0;
  uint64_t dropped_pages = 0;
  uint64_t skipped_pages = 0;       // could not be read any more
  uint64_t compressed_pages = 0;    // of the data pages
  uint64_t codec_input_bytes = 0;   // that compression was tried on
  uint64_t codec_output_bytes = 0;  // what they became, raw where that is smaller
  Clock::duration codec_time{};
};

// One lane's, on the lane's thread. What it has encoded stays valid until the next encode().
class LaneEncoder {
 public:
  LaneEncoder();

  // Replaces what was encoded before. `batch` holds at most frame_pages_max pages, as from LaneQueue::take(). Errors: a
  // required page cannot be read, or its source failed.
  Result<> encode(const std::vector<LaneWork>& batch, bool compress);
  // Instead: a frame that only marks a place, `barrier` or `end`. Returns its sequence.
  uint64_t encode_mark(FrameKind kind);

  // To be written one after the other.
  [[nodiscard]] std::span<const std::span<const std::byte>> segments() const { return segments_; }
  [[nodiscard]] size_t size_bytes() const;
  [[nodiscard]] const EncodedCounts& counts() const { return counts_; }

 private:
  void reset();
  Result<> add_run(const PageRun& run);
  void add_copied(const CopiedPages& copied);
  void add_pages(uint32_t process, uint64_t address, size_t at, size_t pages);
  void add_data(uint32_t process, uint64_t address, size_t at, size_t pages);
  bool add_compressed(FrameHeader header, std::span<const std::byte> contents);
  void add_mark(FrameKind kind, uint32_t process, uint64_t address, uint64_t pages, size_t at);
  void append_segment(std::span<const std::byte> bytes);

  std::vector<std::byte> memory_;
  std::span<std::byte> frames_;      // in memory_: what was read, with headers in front and in the holes
  std::span<std::byte> compressed_;  // in memory_: compressed frames
  size_t frames_used_ = 0;           // the end of the last frame in frames_
  size_t compressed_used_ = 0;
  std::vector<std::span<const std::byte>> segments_;
  EncodedCounts counts_;
  bool compress_ = false;
  uint64_t sequence_ = 0;
};

// Whether all bytes of a page are zero.
bool is_zero_page(const std::byte* page);

}  // namespace godwit::transfer
