// What is to be sent, between the thread that finds pages and the lanes that send them: bounded, and with barriers that
// hold for all lanes together.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <variant>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "transfer/lane_frame.h"
#include "transfer/page_source.h"

namespace godwit::transfer {

// Consecutive pages to send.
struct PageRun {
  PageSource* source = nullptr;  // alive until the next barrier has passed
  uint32_t process = 0;
  uint64_t address = 0;
  uint64_t pages = 0;
  // A page that cannot be read is an error. Else it is skipped: it has gone since it was found.
  bool required = false;
};

// Contents themselves, for what may change before a lane comes to it.
struct CopiedPages {
  uint32_t process = 0;
  uint64_t address = 0;
  std::vector<std::byte> contents;
};

// Pages that are no longer there.
struct DroppedRun {
  uint32_t process = 0;
  uint64_t address = 0;
  uint64_t pages = 0;
};

using LaneWork = std::variant<PageRun, CopiedPages, DroppedRun>;

enum class BarrierKind : uint8_t {
  barrier,  // go on afterwards
  end,      // the lanes end
};

struct BarrierRequest {
  BarrierKind kind = BarrierKind::barrier;
  Deadline deadline = Deadline::never();
};

// Owned by LaneSender; any thread. Everything that waits in here ends by fail().
class LaneQueue {
 public:
  explicit LaneQueue(size_t lanes) : lanes_(lanes), reached_(lanes) {}

  // Waits while the queue is full or a barrier is under way.
  Result<> push(LaneWork work);
  // Waits until every lane has passed: all that was pushed before is delivered. A deadline that passes fails the queue,
  // because where the lanes are is not known then.
  Result<> barrier(const BarrierRequest& request);

  // For the lane number `lane`: waits for work and fills `batch` with up to frame_pages_max pages of it; or, when there
  // is none left, returns the barrier that the lane has to pass now.
  Result<std::optional<BarrierRequest>> take(size_t lane, std::vector<LaneWork>& batch);
  void barrier_passed();

  // The first error stays; everyone gets it from now on.
  void fail(Error error);
  [[nodiscard]] std::optional<Error> failure() const;

 private:
  void fill(std::vector<LaneWork>& batch);

  const size_t lanes_;
  mutable std::mutex mutex_;
  std::condition_variable space_;
  std::condition_variable work_;
  std::condition_variable passed_;
  std::deque<LaneWork> queue_;
  size_t copied_bytes_ = 0;
  std::optional<BarrierRequest> barrier_;
  uint64_t barrier_number_ = 0;
  std::vector<uint64_t> reached_;  // by lane: the last barrier that it was given
  size_t lanes_passed_ = 0;
  std::optional<Error> failure_;
};

}  // namespace godwit::transfer
