// The source's end of the page lanes: several TLS connections, a thread each, that read the pages to send, encode them
// and write them, side by side.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "transfer/compression.h"
#include "transfer/lane_queue.h"
#include "transfer/rate_meter.h"
#include "transfer/tls.h"
#include "transfer/token_bucket.h"

namespace godwit::transfer {

struct LaneSenderOptions {
  Compression compression = Compression::automatic;
  uint64_t bandwidth_limit_bytes_per_s = 0;  // of all lanes together, on the wire; 0: none
};

struct LaneStatistics {
  uint64_t data_pages = 0;        // sent with contents
  uint64_t zero_pages = 0;        // sent as being zero
  uint64_t dropped_pages = 0;     // sent as being gone
  uint64_t skipped_pages = 0;     // not sent: could not be read any more
  uint64_t compressed_pages = 0;  // of the data pages
  uint64_t memory_bytes = 0;      // of data and zero pages
  uint64_t wire_bytes = 0;        // frames, before encryption (which adds 0.14 %)
  double memory_bytes_per_s = 0;  // moving averages over the time in which there was something to send
  double wire_bytes_per_s = 0;
};

// Owned by the source worker. submit...() and barrier() from one thread; everything else from any. The first failure
// ends all lanes, and every call returns it from then on.
//
// Between two barriers a page may be named once only: which lane it goes by, and thus which contents would come last,
// is not known.
class LaneSender {
 public:
  static constexpr size_t lanes_max = 16;

  // One stream a lane, 1 to lanes_max of them.
  LaneSender(std::vector<std::unique_ptr<TlsStream>> lanes, LaneSenderOptions options);
  ~LaneSender();
  LaneSender(const LaneSender&) = delete;
  LaneSender& operator=(const LaneSender&) = delete;

  // Wait while the queue is full: a slow destination slows the caller, nothing else. That ends at the latest when a
  // lane sees no progress for its stream's idle timeout. Errors: addresses or sizes that are not whole pages.
  Result<> submit(const PageRun& run);
  Result<> submit_copy(uint32_t process, uint64_t address, std::span<const std::byte> contents);
  Result<> submit_drop(uint32_t process, uint64_t address, uint64_t pages);

  // Returns when the destination has everything that was submitted, from all lanes. A deadline that passes ends them.
  Result<> barrier(Deadline deadline);
  // The last barrier: the lanes end in good order.
  Result<> finish(Deadline deadline);

  void abort();
  void set_bandwidth_limit(uint64_t bytes_per_s);
  [[nodiscard]] std::optional<Error> failure() const { return queue_.failure(); }
  [[nodiscard]] LaneStatistics statistics() const;

 private:
  struct Lane;

  void run(Lane& lane);
  Result<bool> step(Lane& lane);
  Result<> send_batch(Lane& lane);
  Result<> pass_barrier(Lane& lane, const BarrierRequest& request);
  static Result<> write_encoded(Lane& lane);
  void count(const EncodedCounts& counts, size_t wire_bytes);
  void fail_with(Error error);

  LaneQueue queue_;
  TokenBucket bucket_;
  std::vector<std::unique_ptr<Lane>> lanes_;

  std::atomic<uint64_t> data_pages_ = 0;
  std::atomic<uint64_t> zero_pages_ = 0;
  std::atomic<uint64_t> dropped_pages_ = 0;
  std::atomic<uint64_t> skipped_pages_ = 0;
  std::atomic<uint64_t> compressed_pages_ = 0;
  std::atomic<uint64_t> wire_bytes_ = 0;
  RateMeter memory_rate_;
  RateMeter wire_rate_;
};

}  // namespace godwit::transfer
