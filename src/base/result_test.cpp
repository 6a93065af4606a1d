#include "base/result.h"

#include <gtest/gtest.h>

#include "base/deadline.h"
#include "base/unique_fd.h"

namespace godwit {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail("{} is odd", value);
  return value / 2;
}

Result<int> quarter(int value) {
  GODWIT_ASSIGN(const int first, half(value));
  return half(first);
}

TEST(Result, AssignReturnsTheErrorOfTheFirstFailure) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message, "3 is odd");
}

TEST(Result, ContextGoesInFront) {
  errno = ENOENT;
  const Result<> failed = fail_errno("open {}", "/x");
  EXPECT_EQ(Error(failed.error()).context("read config").message, "read config: open /x: No such file or directory");
  EXPECT_EQ(failed.error().code, ENOENT);
}

TEST(Deadline, PollTimeoutRoundsUpSoThatAWaitNeverSpins) {
  EXPECT_EQ(Deadline::never().poll_timeout_ms(), -1);
  EXPECT_EQ(Deadline::after(milliseconds(-5)).poll_timeout_ms(), 0);
  EXPECT_FALSE(Deadline::after(std::chrono::seconds(100)).sooner(Deadline::never()).expired());
  EXPECT_GE(Deadline::after(milliseconds(50)).poll_timeout_ms(), 1);
}

TEST(UniqueFd, ClosesWhatItOwnsOnce) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  {
    UniqueFd writer(ends[1]);
    UniqueFd moved = std::move(writer);
    EXPECT_FALSE(writer.valid());  // NOLINT(bugprone-use-after-move): the moved-from state is what is tested
    EXPECT_TRUE(moved.valid());
  }
  const UniqueFd reader(ends[0]);
  char byte = 0;
  EXPECT_EQ(read(reader.get(), &byte, 1), 0) << "the write end must be closed";
}

}  // namespace
}  // namespace godwit
