#include "transfer/lane_queue.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

namespace godwit::transfer {
namespace {

using std::chrono::seconds;

constexpr uint64_t frame_bytes = frame_pages_max * page_size_bytes;

PageRun run_of(uint64_t address, uint64_t pages) {
  return {.source = nullptr, .process = 1, .address = address, .pages = pages};
}

std::vector<PageRun> take_runs(LaneQueue& queue) {
  std::vector<LaneWork> batch;
  const auto barrier = queue.take(0, batch);
  GODWIT_CHECK(barrier.has_value() && !barrier->has_value());
  std::vector<PageRun> runs;
  for (const LaneWork& work : batch) runs.push_back(std::get<PageRun>(work));
  return runs;
}

TEST(LaneQueue, ALongRunIsCutWhereFramesOfAFullSizeBegin) {
  LaneQueue queue(1);
  ASSERT_TRUE(queue.push(run_of(10 * frame_bytes + 5 * page_size_bytes, 2 * frame_pages_max)));
  uint64_t pages = 0;
  for (const uint64_t expected : {frame_pages_max - 5, frame_pages_max, 5U}) {
    const auto runs = take_runs(queue);
    ASSERT_EQ(runs.size(), 1U);
    EXPECT_EQ(runs[0].pages, expected);
    EXPECT_EQ(runs[0].address, 10 * frame_bytes + (5 + pages) * page_size_bytes);
    pages += runs[0].pages;
  }
  EXPECT_EQ(pages, 2 * frame_pages_max);
}

TEST(LaneQueue, ShortRunsShareABatch) {
  LaneQueue queue(1);
  for (uint64_t i = 0; i < frame_pages_max + 1; ++i) ASSERT_TRUE(queue.push(run_of(2 * i * page_size_bytes, 1)));
  EXPECT_EQ(take_runs(queue).size(), frame_pages_max);
  EXPECT_EQ(take_runs(queue).size(), 1U);
}

// One push wakes one lane; that one has to wake the next.
TEST(LaneQueue, OneLongRunKeepsAllLanesBusy) {
  constexpr size_t lanes = 3;
  LaneQueue queue(lanes);
  std::vector<std::future<bool>> woken;
  for (size_t lane = 0; lane < lanes; ++lane) {
    woken.push_back(std::async(std::launch::async, [&queue, lane] {
      std::vector<LaneWork> batch;
      return queue.take(lane, batch).has_value() && batch.size() == 1;
    }));
  }
  std::this_thread::sleep_for(milliseconds(50));  // for all of them to wait; if not, the test only shows less
  ASSERT_TRUE(queue.push(run_of(0, lanes * frame_pages_max)));
  bool all = true;
  for (auto& lane : woken) all = lane.wait_for(seconds(10)) == std::future_status::ready && all;
  EXPECT_TRUE(all);
  if (!all) queue.fail({"the test failed"});
  for (auto& lane : woken) EXPECT_TRUE(lane.get());
}

TEST(LaneQueue, ABarrierPassesWhenEveryLaneHasReachedIt) {
  LaneQueue queue(2);
  ASSERT_TRUE(queue.push(run_of(0, 1)));
  auto passing = std::async(std::launch::async, [&] { return queue.barrier({}); });
  std::vector<LaneWork> batch;
  EXPECT_EQ(take_runs(queue).size(), 1U);
  for (size_t lane = 0; lane < 2; ++lane) {
    EXPECT_EQ(passing.wait_for(milliseconds(20)), std::future_status::timeout);
    const auto barrier = queue.take(lane, batch);
    ASSERT_TRUE(barrier && *barrier);
    EXPECT_TRUE(batch.empty());
    queue.barrier_passed();
  }
  EXPECT_TRUE(passing.get());
}

}  // namespace
}  // namespace godwit::transfer
