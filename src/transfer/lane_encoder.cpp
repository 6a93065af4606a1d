#include "transfer/lane_encoder.h"

#include <lz4.h>

#include <algorithm>
#include <cstring>
#include <memory>

namespace godwit::transfer {
namespace {

// Room for frame_pages_max frames of a page each.
constexpr size_t buffer_bytes = frame_pages_max * (page_size_bytes + frame_header_bytes);
constexpr size_t cache_line_bytes = 64;

}  // namespace

bool is_zero_page(const std::byte* page) {
  // A page equals itself shifted by a word exactly if all its words are equal; the C library compares with vectors.
  uint64_t first = 0;
  std::memcpy(&first, page, sizeof first);
  return first == 0 && std::memcmp(page, page + sizeof first, page_size_bytes - sizeof first) == 0;
}

LaneEncoder::LaneEncoder() : memory_(2 * buffer_bytes + 2 * cache_line_bytes) {
  // The contents of a batch's first frame begin on a cache line: copying there is fastest.
  void* begin = memory_.data() + frame_header_bytes;
  size_t size = memory_.size() - frame_header_bytes;
  GODWIT_CHECK(std::align(cache_line_bytes, 2 * buffer_bytes - frame_header_bytes, begin, size) != nullptr);
  std::byte* const first = static_cast<std::byte*>(begin) - frame_header_bytes;
  frames_ = {first, buffer_bytes};
  compressed_ = {first + buffer_bytes, buffer_bytes};
}

size_t LaneEncoder::size_bytes() const {
  size_t total = 0;
  for (const auto& segment : segments_) total += segment.size();
  return total;
}

void LaneEncoder::reset() {
  frames_used_ = 0;
  compressed_used_ = 0;
  segments_.clear();
  counts_ = {};
}

Result<> LaneEncoder::encode(const std::vector<LaneWork>& batch, bool compress) {
  reset();
  compress_ = compress;
  for (const LaneWork& work : batch) {
    if (const auto* run = std::get_if<PageRun>(&work)) {
      GODWIT_TRY(add_run(*run));
    } else if (const auto* copied = std::get_if<CopiedPages>(&work)) {
      add_copied(*copied);
    } else {
      const auto& dropped = std::get<DroppedRun>(work);
      add_mark(FrameKind::drop, dropped.process, dropped.address, dropped.pages, frames_used_);
      counts_.dropped_pages += dropped.pages;
    }
  }
  return {};
}

uint64_t LaneEncoder::encode_mark(FrameKind kind) {
  reset();
  add_mark(kind, 0, 0, 0, 0);
  return sequence_ - 1;
}

Result<> LaneEncoder::add_run(const PageRun& run) {
  const size_t at = frames_used_ + frame_header_bytes;
  GODWIT_CHECK(at + run.pages * page_size_bytes <= frames_.size());
  for (uint64_t done = 0; done < run.pages;) {
    const uint64_t address = run.address + done * page_size_bytes;
    const size_t place = at + done * page_size_bytes;
    const auto read = run.source->read(address, frames_.subspan(place, (run.pages - done) * page_size_bytes));
    const bool gone = !read && read.error().code == ESRCH;
    if (!read && (!gone || run.required)) {
      return std::unexpected(
          Error(read.error()).context(fmt::format("page {:#x} of process {}", address, run.process)));
    }
    const uint64_t got = read ? *read / page_size_bytes : 0;
    if (got > 0) add_pages(run.process, address, place, got);
    done += got;
    if (done == run.pages) break;
    if (run.required) {
      return fail("page {:#x} of process {} cannot be read", run.address + done * page_size_bytes, run.process);
    }
    const uint64_t skipped = gone ? run.pages - done : 1;
    counts_.skipped_pages += skipped;
    done += skipped;
  }
  return {};
}

void LaneEncoder::add_copied(const CopiedPages& copied) {
  const size_t at = frames_used_ + frame_header_bytes;
  GODWIT_CHECK(at + copied.contents.size() <= frames_.size());
  std::ranges::copy(copied.contents, frames_.subspan(at).begin());
  add_pages(copied.process, copied.address, at, copied.contents.size() / page_size_bytes);
}

// Pages that lie in frames_ at `at`, with at least a header's room in front. Runs of zero pages are holes in which the
// headers of their own frame and of the next have room.
void LaneEncoder::add_pages(uint32_t process, uint64_t address, size_t at, size_t pages) {
  const auto zero_at = [&](size_t page) { return is_zero_page(frames_.data() + at + page * page_size_bytes); };
  for (size_t first = 0; first < pages;) {
    const bool zero = zero_at(first);
    size_t last = first + 1;
    while (last < pages && zero_at(last) == zero) ++last;
    const uint64_t run_address = address + first * page_size_bytes;
    if (zero) {
      // In front of the next header, so that both go in one piece.
      const size_t next_header = at + last * page_size_bytes - frame_header_bytes;
      add_mark(FrameKind::zero, process, run_address, last - first,
               last < pages ? next_header - frame_header_bytes : frames_used_);
      counts_.zero_pages += last - first;
    } else {
      add_data(process, run_address, at + first * page_size_bytes, last - first);
      counts_.data_pages += last - first;
    }
    first = last;
  }
}

void LaneEncoder::add_data(uint32_t process, uint64_t address, size_t at, size_t pages) {
  const auto contents = frames_.subspan(at, pages * page_size_bytes);
  const FrameHeader header{.kind = FrameKind::pages,
                           .process = process,
                           .address = address,
                           .pages = static_cast<uint32_t>(pages),
                           .payload_bytes = static_cast<uint32_t>(contents.size()),
                           .sequence = sequence_++};
  if (compress_ && add_compressed(header, contents)) return;
  const auto frame = frames_.subspan(at - frame_header_bytes, frame_header_bytes + contents.size());
  encode_frame(header, frame.first<frame_header_bytes>());
  frames_used_ = at + contents.size();
  append_segment(frame);
}

// False if they would not become smaller.
bool LaneEncoder::add_compressed(FrameHeader header, std::span<const std::byte> contents) {
  const auto started = Clock::now();
  const auto room = compressed_.subspan(compressed_used_);
  const int size = LZ4_compress_default(reinterpret_cast<const char*>(contents.data()),
                                        reinterpret_cast<char*>(room.data() + frame_header_bytes),
                                        static_cast<int>(contents.size()), static_cast<int>(contents.size()) - 1);
  counts_.codec_time += Clock::now() - started;
  counts_.codec_input_bytes += contents.size();
  counts_.codec_output_bytes += size > 0 ? static_cast<size_t>(size) : contents.size();
  if (size <= 0) return false;
  header.codec = FrameCodec::lz4;
  header.payload_bytes = static_cast<uint32_t>(size);
  counts_.compressed_pages += header.pages;
  const auto frame = room.first(frame_header_bytes + header.payload_bytes);
  encode_frame(header, frame.first<frame_header_bytes>());
  compressed_used_ += frame.size();
  append_segment(frame);
  return true;
}

void LaneEncoder::add_mark(FrameKind kind, uint32_t process, uint64_t address, uint64_t pages, size_t at) {
  const auto frame = frames_.subspan(at, frame_header_bytes);
  encode_frame({.kind = kind,
                .process = process,
                .address = address,
                .pages = static_cast<uint32_t>(pages),
                .sequence = sequence_++},
               frame.first<frame_header_bytes>());
  frames_used_ = at + frame_header_bytes;
  append_segment(frame);
}

void LaneEncoder::append_segment(std::span<const std::byte> bytes) {
  if (!segments_.empty() && segments_.back().data() + segments_.back().size() == bytes.data()) {
    segments_.back() = {segments_.back().data(), segments_.back().size() + bytes.size()};
  } else {
    segments_.push_back(bytes);
  }
}

}  // namespace godwit::transfer
