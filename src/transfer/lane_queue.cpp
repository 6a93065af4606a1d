#include "transfer/lane_queue.h"

#include <algorithm>
#include <utility>

namespace godwit::transfer {
namespace {

constexpr size_t queued_runs_max = 1024;
constexpr size_t queued_copied_bytes_max = size_t{4} << 20;

size_t copied_bytes(const LaneWork& work) {
  const auto* copied = std::get_if<CopiedPages>(&work);
  return copied != nullptr ? copied->contents.size() : 0;
}

// Takes at most `pages` from the front of `run`; what is left of it stays.
template <typename Run>
Run split(Run& run, uint64_t pages) {
  Run front = run;
  front.pages = std::min(run.pages, pages);
  run.address += front.pages * page_size_bytes;
  run.pages -= front.pages;
  return front;
}

}  // namespace

Result<> LaneQueue::push(LaneWork work) {
  const size_t bytes = copied_bytes(work);
  {
    std::unique_lock lock(mutex_);
    space_.wait(lock, [&] {
      const bool room = queue_.size() < queued_runs_max && copied_bytes_ + bytes <= queued_copied_bytes_max;
      return failure_ || (!barrier_ && room);
    });
    if (failure_) return std::unexpected(*failure_);
    copied_bytes_ += bytes;
    queue_.push_back(std::move(work));
  }
  work_.notify_one();
  return {};
}

Result<> LaneQueue::barrier(const BarrierRequest& request) {
  std::unique_lock lock(mutex_);
  space_.wait(lock, [&] { return failure_ || !barrier_; });
  if (failure_) return std::unexpected(*failure_);
  barrier_ = request;
  const uint64_t number = ++barrier_number_;
  lanes_passed_ = 0;
  work_.notify_all();
  const auto over = [&] { return failure_ || barrier_number_ != number || !barrier_; };
  if (request.deadline.when() == Clock::time_point::max()) {
    passed_.wait(lock, over);
  } else if (!passed_.wait_until(lock, request.deadline.when(), over)) {
    failure_ = Error{"the destination did not take all pages in time", ETIMEDOUT};
    lock.unlock();
    space_.notify_all();
    work_.notify_all();
    return std::unexpected(*failure());
  }
  if (failure_) return std::unexpected(*failure_);
  return {};
}

Result<std::optional<BarrierRequest>> LaneQueue::take(size_t lane, std::vector<LaneWork>& batch) {
  batch.clear();
  std::unique_lock lock(mutex_);
  const auto barrier_ahead = [&] { return barrier_ && reached_[lane] != barrier_number_; };
  work_.wait(lock, [&] { return failure_ || !queue_.empty() || barrier_ahead(); });
  if (failure_) return std::unexpected(*failure_);
  if (queue_.empty()) {
    reached_[lane] = barrier_number_;
    return barrier_;
  }
  fill(batch);
  const bool more = !queue_.empty();
  lock.unlock();
  space_.notify_all();
  if (more) work_.notify_one();  // who pushed a long run has woken one lane only
  return std::nullopt;
}

void LaneQueue::fill(std::vector<LaneWork>& batch) {
  uint64_t room = frame_pages_max;
  while (room > 0 && !queue_.empty()) {
    LaneWork& front = queue_.front();
    if (auto* run = std::get_if<PageRun>(&front)) {
      // Up to a multiple of a frame's size: so frames do not straddle what the destination keeps together.
      const uint64_t frame_rest = frame_pages_max - run->address / page_size_bytes % frame_pages_max;
      const PageRun taken = split(*run, std::min(room, frame_rest));
      room -= taken.pages;
      batch.emplace_back(taken);
      if (run->pages > 0) return;
    } else if (auto* dropped = std::get_if<DroppedRun>(&front)) {
      --room;
      batch.emplace_back(split(*dropped, frame_run_pages_max));
      if (dropped->pages > 0) continue;
    } else {
      const size_t bytes = copied_bytes(front);
      const uint64_t pages = bytes / page_size_bytes;
      if (pages > room) return;
      room -= pages;
      copied_bytes_ -= bytes;
      batch.push_back(std::move(front));
    }
    queue_.pop_front();
  }
}

void LaneQueue::barrier_passed() {
  {
    const std::lock_guard lock(mutex_);
    if (++lanes_passed_ < lanes_) return;
    barrier_.reset();
  }
  passed_.notify_all();
  space_.notify_all();
}

void LaneQueue::fail(Error error) {
  {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::move(error);
  }
  space_.notify_all();
  work_.notify_all();
  passed_.notify_all();
}

std::optional<Error> LaneQueue::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace godwit::transfer
