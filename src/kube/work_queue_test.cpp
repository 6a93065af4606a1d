#include "kube/work_queue.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>
#include <vector>

namespace godwit::kube {
namespace {

Deadline at_once() {
  return Deadline::after(milliseconds(0));
}
Deadline soon() {
  return Deadline::after(std::chrono::seconds(5));
}

TEST(WorkQueue, AKeyAddedTwiceIsTakenOnce) {
  WorkQueue queue;
  queue.add("a");
  queue.add("b");
  queue.add("a");
  EXPECT_EQ(queue.take(soon()), "a");
  EXPECT_EQ(queue.take(soon()), "b");
  EXPECT_EQ(queue.take(at_once()), std::nullopt);
}

TEST(WorkQueue, AKeyAddedDuringItsWorkComesAgainAfterItAndNotBefore) {
  WorkQueue queue;
  queue.add("a");
  ASSERT_EQ(queue.take(soon()), "a");
  queue.add("a");
  queue.add("a");
  EXPECT_EQ(queue.take(at_once()), std::nullopt) << "it must not be worked on by two at a time";
  queue.done("a");
  EXPECT_EQ(queue.take(soon()), "a");
  queue.done("a");
  EXPECT_EQ(queue.take(at_once()), std::nullopt);
}

TEST(WorkQueue, OfSeveralTimesForAKeyTheSoonestCounts) {
  WorkQueue queue;
  queue.add_after("a", std::chrono::hours(1));
  queue.add_after("a", milliseconds(300));
  queue.add_after("a", std::chrono::hours(2));
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_EQ(queue.take(at_once()), std::nullopt);
  EXPECT_EQ(queue.take(soon()), "a");
  EXPECT_EQ(queue.size(), 0U);
}

TEST(WorkQueue, FailuresWaitLongerAndLongerForEachKeyAlone) {
  WorkQueue queue({milliseconds(20), milliseconds(10'000), 0});
  const auto take_after_failure = [&](const std::string& key) {
    const auto began = Clock::now();
    queue.add_after_failure(key);
    EXPECT_EQ(queue.take(soon()), key);
    queue.done(key);
    return elapsed_ms(began);
  };
  EXPECT_GE(take_after_failure("a"), 20);
  EXPECT_GE(take_after_failure("a"), 40);
  EXPECT_GE(take_after_failure("a"), 80);
  EXPECT_EQ(queue.failures("a"), 3);
  EXPECT_EQ(queue.failures("b"), 0);
  // Of several times the soonest counts: 160 ms here.
  for (int i = 0; i < 10; ++i) queue.add_after_failure("a");
  EXPECT_EQ(queue.take(soon()), "a");
  queue.done("a");
  queue.add_after_failure("a");  // 10 s by now
  queue.add_after_failure("b");
  EXPECT_EQ(queue.take(soon()), "b");
  queue.done("b");
  queue.forget("a");
  queue.add_after_failure("a");
  EXPECT_EQ(queue.take(soon()), "a") << "20 ms, as the first time";
}

TEST(WorkQueue, ShutDownWakesWhoWaitsAndDropsTheRest) {
  WorkQueue queue;
  std::optional<std::string> got = "something";
  std::thread waiting([&] { got = queue.take(Deadline::never()); });
  std::this_thread::sleep_for(milliseconds(20));
  queue.shut_down();
  waiting.join();
  EXPECT_EQ(got, std::nullopt);
  queue.add("a");
  EXPECT_EQ(queue.take(soon()), std::nullopt);
}

TEST(WorkQueue, ShutDownDuringWorkIsNoHarm) {
  WorkQueue queue;
  queue.add("a");
  ASSERT_EQ(queue.take(soon()), "a");
  queue.add("a");
  queue.shut_down();
  queue.done("a");
  EXPECT_EQ(queue.take(soon()), std::nullopt);
}

// Every change of a key is seen by a worker that begins after it, and no two work on one key.
TEST(WorkQueue, ManyThreadsLoseNoChangeAndNeverShareAKey) {
  constexpr int keys = 8;
  constexpr int changes = 4000;
  WorkQueue queue;
  std::array<std::atomic<int>, keys> wanted{};
  std::array<std::atomic<int>, keys> seen{};
  std::array<std::atomic<int>, keys> workers{};
  std::atomic<bool> shared = false;
  const auto work = [&] {
    while (auto key = queue.take(Deadline::never())) {
      const auto i = static_cast<size_t>(std::stoi(*key));
      if (++workers[i] != 1) shared = true;
      seen[i] = wanted[i].load();
      --workers[i];
      queue.done(*key);
    }
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (int change = 0; change < changes; ++change) {
    const auto i = static_cast<size_t>(change % keys);
    wanted[i] = change;
    queue.add(std::to_string(i));
  }
  const Deadline deadline = soon();
  const auto caught_up = [&] {
    for (size_t i = 0; i < keys; ++i) {
      if (seen[i] != wanted[i]) return false;
    }
    return true;
  };
  while (!caught_up() && !deadline.expired()) std::this_thread::sleep_for(milliseconds(1));
  EXPECT_TRUE(caught_up());
  queue.shut_down();
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(shared);
}

}  // namespace
}  // namespace godwit::kube
