#include "controller/work_loop.h"

#include <gtest/gtest.h>

#include <atomic>

namespace godwit::controller {
namespace {

bool wait_until(const std::function<bool()>& condition) {
  for (const Deadline deadline = Deadline::after(std::chrono::seconds(10)); !deadline.expired();) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return false;
}

TEST(WorkLoop, TriesAgainUntilItSucceeds) {
  std::atomic<int> tries = 0;
  WorkLoop loop("thing", [&](const std::string& key, const std::stop_token&) -> Result<> {
    EXPECT_EQ(key, "a");
    return ++tries < 3 ? fail("not yet") : Result<>();
  });
  loop.queue().add("a");
  loop.start(2);
  ASSERT_TRUE(wait_until([&] { return tries == 3; }));
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_EQ(tries, 3);
}

TEST(WorkLoop, StopEndsWhatIsBeingWorkedOn) {
  std::atomic<bool> began = false;
  std::atomic<int> works = 0;
  WorkLoop loop("thing", [&](const std::string&, const std::stop_token& stop) -> Result<> {
    began = true;
    ++works;
    while (!stop.stop_requested()) std::this_thread::sleep_for(milliseconds(1));
    return fail("stopped");
  });
  loop.start(1);
  loop.queue().add("a");
  loop.queue().add("b");
  ASSERT_TRUE(wait_until([&] { return began.load(); }));
  loop.stop();
  EXPECT_EQ(works, 1) << "what waits is left";
}

}  // namespace
}  // namespace godwit::controller
