#include "transfer/lane_sender.h"

#include <algorithm>
#include <utility>

namespace godwit::transfer {
namespace {

Result<> check_range(uint64_t address, uint64_t pages) {
  if (address % page_size_bytes != 0) return fail("address {:#x} is not a page's", address);
  if (pages > address_limit / page_size_bytes || address > address_limit - pages * page_size_bytes) {
    return fail("{} pages at address {:#x} are beyond any address space", pages, address);
  }
  return {};
}

}  // namespace

// One connection with its thread; all but `stream->shutdown()` is the thread's own.
struct LaneSender::Lane {
  size_t number = 0;
  std::unique_ptr<TlsStream> stream;
  LaneEncoder encoder;
  CompressionChooser chooser;
  std::chrono::microseconds peer_limited{};  // as of the last batch
  std::vector<LaneWork> batch;
  std::thread thread;
};

LaneSender::LaneSender(std::vector<std::unique_ptr<TlsStream>> lanes, LaneSenderOptions options)
    : queue_(lanes.size()), bucket_(options.bandwidth_limit_bytes_per_s) {
  GODWIT_CHECK(!lanes.empty() && lanes.size() <= lanes_max);
  for (auto& stream : lanes) {
    lanes_.push_back(std::make_unique<Lane>(Lane{.number = lanes_.size(),
                                                 .stream = std::move(stream),
                                                 .encoder = {},
                                                 .chooser = CompressionChooser(options.compression),
                                                 .peer_limited = {},
                                                 .batch = {},
                                                 .thread = {}}));
  }
  for (auto& lane : lanes_) lane->thread = std::thread([this, &lane] { run(*lane); });
}

LaneSender::~LaneSender() {
  abort();
  for (auto& lane : lanes_) lane->thread.join();
}

void LaneSender::abort() {
  fail_with({"the transfer was ended here", ECONNABORTED});
}

void LaneSender::fail_with(Error error) {
  queue_.fail(std::move(error));
  bucket_.close();
  for (auto& lane : lanes_) lane->stream->shutdown();
}

void LaneSender::set_bandwidth_limit(uint64_t bytes_per_s) {
  bucket_.set_rate(bytes_per_s);
}

Result<> LaneSender::submit(const PageRun& run) {
  GODWIT_CHECK(run.source != nullptr);
  GODWIT_TRY(check_range(run.address, run.pages));
  if (run.pages == 0) return {};
  return queue_.push(run);
}

Result<> LaneSender::submit_copy(uint32_t process, uint64_t address, std::span<const std::byte> contents) {
  if (contents.size() % page_size_bytes != 0) return fail("{} bytes are not whole pages", contents.size());
  GODWIT_TRY(check_range(address, contents.size() / page_size_bytes));
  while (!contents.empty()) {
    const auto piece = contents.first(std::min(contents.size(), frame_pages_max * page_size_bytes));
    GODWIT_TRY(
        queue_.push(CopiedPages{.process = process, .address = address, .contents = {piece.begin(), piece.end()}}));
    address += piece.size();
    contents = contents.subspan(piece.size());
  }
  return {};
}

Result<> LaneSender::submit_drop(uint32_t process, uint64_t address, uint64_t pages) {
  GODWIT_TRY(check_range(address, pages));
  if (pages == 0) return {};
  return queue_.push(DroppedRun{.process = process, .address = address, .pages = pages});
}

Result<> LaneSender::barrier(Deadline deadline) {
  auto passed = queue_.barrier({.kind = BarrierKind::barrier, .deadline = deadline});
  if (!passed) fail_with(passed.error());
  return passed;
}

Result<> LaneSender::finish(Deadline deadline) {
  auto passed = queue_.barrier({.kind = BarrierKind::end, .deadline = deadline});
  if (passed) queue_.fail({"the lanes have ended", ECONNABORTED});
  if (!passed) fail_with(passed.error());
  return passed;
}

void LaneSender::run(Lane& lane) {
  for (;;) {
    auto more = step(lane);
    if (!more) {
      return fail_with(
          std::move(more).error().context(fmt::format("page lane {} to {}", lane.number, lane.stream->peer_name())));
    }
    if (!*more) return;
  }
}

// False when the lane has ended.
Result<bool> LaneSender::step(Lane& lane) {
  GODWIT_ASSIGN(const auto barrier, queue_.take(lane.number, lane.batch));
  if (!barrier) {
    GODWIT_TRY(send_batch(lane));
    return true;
  }
  GODWIT_TRY(pass_barrier(lane, *barrier));
  const bool ends = barrier->kind == BarrierKind::end;
  if (ends) (void)lane.stream->close();  // both sides know already that nothing follows
  queue_.barrier_passed();
  return !ends;
}

Result<> LaneSender::send_batch(Lane& lane) {
  const auto started = Clock::now();
  memory_rate_.begin(started);
  wire_rate_.begin(started);
  auto sent = lane.encoder.encode(lane.batch, lane.chooser.next());
  const size_t wire_bytes = lane.encoder.size_bytes();
  const auto encoded = Clock::now();
  if (sent) sent = bucket_.take(wire_bytes);
  if (sent) sent = write_encoded(lane);
  const auto ended = Clock::now();
  const EncodedCounts& counts = lane.encoder.counts();
  memory_rate_.end(ended, (counts.data_pages + counts.zero_pages) * page_size_bytes);
  wire_rate_.end(ended, wire_bytes);
  GODWIT_TRY(std::move(sent));
  // Compressing helps against a slow link, not against a peer that is slow in decrypting and storing.
  const auto peer_limited = lane.stream->peer_limited_time();
  const auto peers_time = peer_limited - std::exchange(lane.peer_limited, peer_limited);
  lane.chooser.sent(counts, wire_bytes, ended - encoded - peers_time);
  count(counts, wire_bytes);
  return {};
}

Result<> LaneSender::write_encoded(Lane& lane) {
  for (const auto& segment : lane.encoder.segments()) {
    GODWIT_TRY(lane.stream->write(segment.data(), segment.size()));
  }
  return lane.stream->flush();
}

Result<> LaneSender::pass_barrier(Lane& lane, const BarrierRequest& request) {
  const FrameKind kind = request.kind == BarrierKind::end ? FrameKind::end : FrameKind::barrier;
  const uint64_t sequence = lane.encoder.encode_mark(kind);
  GODWIT_TRY(write_encoded(lane));
  wire_bytes_ += lane.encoder.size_bytes();
  FrameBytes bytes{};
  for (size_t have = 0; have < bytes.size();) {
    // The kernel may hold megabytes that a slow link takes long for: only the barrier's own deadline counts.
    GODWIT_ASSIGN(const size_t got, lane.stream->read_some(bytes.data() + have, bytes.size() - have, request.deadline));
    if (got == 0) return fail("the destination closed the lane before it confirmed what was sent");
    have += got;
  }
  GODWIT_ASSIGN(const FrameHeader ack, decode_frame(bytes));
  if (ack.kind != FrameKind::ack) return fail("lane frame: kind {} where an ack must be", static_cast<int>(ack.kind));
  if (ack.sequence != sequence) return fail("lane frame: an ack of {} instead of {}", ack.sequence, sequence);
  return {};
}

void LaneSender::count(const EncodedCounts& counts, size_t wire_bytes) {
  data_pages_ += counts.data_pages;
  zero_pages_ += counts.zero_pages;
  dropped_pages_ += counts.dropped_pages;
  skipped_pages_ += counts.skipped_pages;
  compressed_pages_ += counts.compressed_pages;
  wire_bytes_ += wire_bytes;
}

LaneStatistics LaneSender::statistics() const {
  LaneStatistics statistics{.data_pages = data_pages_,
                            .zero_pages = zero_pages_,
                            .dropped_pages = dropped_pages_,
                            .skipped_pages = skipped_pages_,
                            .compressed_pages = compressed_pages_,
                            .wire_bytes = wire_bytes_,
                            .memory_bytes_per_s = memory_rate_.bytes_per_s(),
                            .wire_bytes_per_s = wire_rate_.bytes_per_s()};
  statistics.memory_bytes = (statistics.data_pages + statistics.zero_pages) * page_size_bytes;
  return statistics;
}

}  // namespace godwit::transfer
