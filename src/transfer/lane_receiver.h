// The destination's end of the page lanes: one thread for each connection, which decrypts what comes straight into the
// memory that the page sink names.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "memory/page_sink.h"
#include "transfer/lane_frame.h"
#include "transfer/tls.h"

namespace godwit::transfer {

struct LaneReceiverOptions {
  size_t lanes_max = 16;
  // How long a lane may be quiet between two frames. Generous: that the peer lives is the control channel's to know.
  milliseconds quiet_max{3'600'000};
};

struct LaneReceiverStatistics {
  uint64_t data_pages = 0;
  uint64_t zero_pages = 0;
  uint64_t dropped_pages = 0;
  uint64_t wire_bytes = 0;
  uint64_t barriers = 0;  // passed by any lane
};

// Owned by the destination worker; every function from any thread. Trusts nothing that comes: a malformed frame ends
// all lanes with an error that names the field. The first failure ends all lanes.
class LaneReceiver {
 public:
  // `sink` outlives it.
  LaneReceiver(memory::PageSink& sink, LaneReceiverOptions options);
  ~LaneReceiver();
  LaneReceiver(const LaneReceiver&) = delete;
  LaneReceiver& operator=(const LaneReceiver&) = delete;

  // Lanes come one by one, as they are accepted. Error: too many, or the receiver has failed.
  Result<> add_lane(std::unique_ptr<TlsStream> stream);
  // Until every lane that was added has been ended by the source, and there is at least one.
  Result<> wait_ended(Deadline deadline);

  void abort();
  [[nodiscard]] std::optional<Error> failure() const;
  [[nodiscard]] LaneReceiverStatistics statistics() const;

 private:
  struct Lane;

  void run(Lane& lane);
  Result<> receive_lane(Lane& lane);
  Result<bool> receive_frame(Lane& lane);
  Result<> receive_pages(Lane& lane, const FrameHeader& header);
  Result<> receive_compressed(Lane& lane, const FrameHeader& header);
  Result<std::span<std::byte>> place(const FrameHeader& header, uint32_t done);
  static Result<> acknowledge(Lane& lane, const FrameHeader& header);
  void fail_with(Error error);

  memory::PageSink& sink_;
  const LaneReceiverOptions options_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  size_t ended_lanes_ = 0;
  std::optional<Error> failure_;

  std::atomic<uint64_t> data_pages_ = 0;
  std::atomic<uint64_t> zero_pages_ = 0;
  std::atomic<uint64_t> dropped_pages_ = 0;
  std::atomic<uint64_t> wire_bytes_ = 0;
  std::atomic<uint64_t> barriers_ = 0;
};

}  // namespace godwit::transfer
