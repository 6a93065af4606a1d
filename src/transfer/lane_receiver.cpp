#include "transfer/lane_receiver.h"

#include <lz4.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace godwit::transfer {

// One connection with its thread; all but `stream->shutdown()` is the thread's own.
struct LaneReceiver::Lane {
  size_t number = 0;
  std::unique_ptr<TlsStream> stream;
  uint64_t next_sequence = 0;
  std::vector<std::byte> compressed;  // made when the first compressed frame comes
  std::vector<std::byte> expanded;
  std::thread thread;
};

LaneReceiver::LaneReceiver(memory::PageSink& sink, LaneReceiverOptions options) : sink_(sink), options_(options) {}

LaneReceiver::~LaneReceiver() {
  abort();
  // Nobody adds lanes any more.
  for (auto& lane : lanes_) lane->thread.join();
}

Result<> LaneReceiver::add_lane(std::unique_ptr<TlsStream> stream) {
  const std::lock_guard lock(mutex_);
  if (failure_) return std::unexpected(*failure_);
  if (lanes_.size() >= options_.lanes_max) return fail("more than {} page lanes", options_.lanes_max);
  lanes_.push_back(std::make_unique<Lane>());
  Lane& lane = *lanes_.back();
  lane.number = lanes_.size() - 1;
  lane.stream = std::move(stream);
  lane.thread = std::thread([this, &lane] { run(lane); });
  return {};
}

Result<> LaneReceiver::wait_ended(Deadline deadline) {
  std::unique_lock lock(mutex_);
  const auto over = [&] { return failure_ || (!lanes_.empty() && ended_lanes_ == lanes_.size()); };
  if (deadline.when() == Clock::time_point::max()) {
    changed_.wait(lock, over);
  } else if (!changed_.wait_until(lock, deadline.when(), over)) {
    errno = ETIMEDOUT;
    return fail_errno("wait for the end of the page lanes");
  }
  if (failure_) return std::unexpected(*failure_);
  return {};
}

void LaneReceiver::abort() {
  fail_with({"the transfer was ended here", ECONNABORTED});
}

void LaneReceiver::fail_with(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(error);
    for (auto& lane : lanes_) lane->stream->shutdown();
  }
  changed_.notify_all();
}

std::optional<Error> LaneReceiver::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

LaneReceiverStatistics LaneReceiver::statistics() const {
  return {.data_pages = data_pages_,
          .zero_pages = zero_pages_,
          .dropped_pages = dropped_pages_,
          .wire_bytes = wire_bytes_,
          .barriers = barriers_};
}

void LaneReceiver::run(Lane& lane) {
  if (auto received = receive_lane(lane); !received) {
    return fail_with(std::move(received).error().context(
        fmt::format("page lane {} from {}", lane.number, lane.stream->peer_name())));
  }
  {
    const std::lock_guard lock(mutex_);
    ++ended_lanes_;
  }
  changed_.notify_all();
}

Result<> LaneReceiver::receive_lane(Lane& lane) {
  for (;;) {
    GODWIT_ASSIGN(const bool more, receive_frame(lane));
    if (!more) return {};
  }
}

// False after the last one.
Result<bool> LaneReceiver::receive_frame(Lane& lane) {
  FrameBytes bytes{};
  GODWIT_ASSIGN(const size_t got,
                lane.stream->read_some(bytes.data(), bytes.size(), Deadline::after(options_.quiet_max)));
  if (got == 0) return fail("the source closed the lane before it ended");
  GODWIT_TRY(lane.stream->read_exact(bytes.data() + got, bytes.size() - got));
  GODWIT_ASSIGN(const FrameHeader header, decode_frame(bytes));
  if (header.sequence != lane.next_sequence) {
    return fail("lane frame: sequence {} instead of {}", header.sequence, lane.next_sequence);
  }
  ++lane.next_sequence;
  wire_bytes_ += frame_header_bytes + header.payload_bytes;
  switch (header.kind) {
    case FrameKind::pages:
      GODWIT_TRY(header.codec == FrameCodec::raw ? receive_pages(lane, header) : receive_compressed(lane, header));
      data_pages_ += header.pages;
      return true;
    case FrameKind::zero:
      GODWIT_TRY(sink_.zero(header.process, header.address, header.pages));
      zero_pages_ += header.pages;
      return true;
    case FrameKind::drop:
      GODWIT_TRY(sink_.drop(header.process, header.address, header.pages));
      dropped_pages_ += header.pages;
      return true;
    case FrameKind::barrier:
      ++barriers_;
      GODWIT_TRY(acknowledge(lane, header));
      return true;
    case FrameKind::end:
      GODWIT_TRY(acknowledge(lane, header));
      return false;
    case FrameKind::ack:
      break;
  }
  return fail("lane frame: kind {} is not the source's to send", static_cast<int>(header.kind));
}

// Where the frame's pages from number `done` on go.
Result<std::span<std::byte>> LaneReceiver::place(const FrameHeader& header, uint32_t done) {
  GODWIT_ASSIGN(const std::span<std::byte> place,
                sink_.place(header.process, header.address + done * page_size_bytes, header.pages - done));
  GODWIT_CHECK(!place.empty() && place.size() % page_size_bytes == 0 &&
               place.size() <= (header.pages - done) * page_size_bytes);
  return place;
}

Result<> LaneReceiver::receive_pages(Lane& lane, const FrameHeader& header) {
  for (uint32_t done = 0; done < header.pages;) {
    GODWIT_ASSIGN(const std::span<std::byte> to, place(header, done));
    GODWIT_TRY(lane.stream->read_exact(to.data(), to.size()));
    done += static_cast<uint32_t>(to.size() / page_size_bytes);
  }
  return {};
}

// Expanded apart and then copied: a bad block must not write past its pages, and the sink may give them in pieces.
Result<> LaneReceiver::receive_compressed(Lane& lane, const FrameHeader& header) {
  constexpr size_t contents_bytes_max = frame_pages_max * page_size_bytes;
  lane.compressed.resize(contents_bytes_max);
  lane.expanded.resize(contents_bytes_max);
  GODWIT_TRY(lane.stream->read_exact(lane.compressed.data(), header.payload_bytes));
  const size_t contents_bytes = header.pages * page_size_bytes;
  const int size = LZ4_decompress_safe(reinterpret_cast<const char*>(lane.compressed.data()),
                                       reinterpret_cast<char*>(lane.expanded.data()),
                                       static_cast<int>(header.payload_bytes), static_cast<int>(contents_bytes));
  if (size < 0 || static_cast<size_t>(size) != contents_bytes) {
    return fail("lane frame: payload is no LZ4 block of {} pages", header.pages);
  }
  for (uint32_t done = 0; done < header.pages;) {
    GODWIT_ASSIGN(const std::span<std::byte> to, place(header, done));
    std::memcpy(to.data(), lane.expanded.data() + done * page_size_bytes, to.size());
    done += static_cast<uint32_t>(to.size() / page_size_bytes);
  }
  return {};
}

Result<> LaneReceiver::acknowledge(Lane& lane, const FrameHeader& header) {
  const FrameBytes ack = encode_frame({.kind = FrameKind::ack, .sequence = header.sequence});
  GODWIT_TRY(lane.stream->write(ack.data(), ack.size()));
  return lane.stream->flush();
}

}  // namespace godwit::transfer
