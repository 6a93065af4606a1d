#include "kube/backoff.h"

#include <gtest/gtest.h>

namespace godwit::kube {
namespace {

TEST(Backoff, DoublesUpToTheMost) {
  const BackoffLimits limits{milliseconds(100), milliseconds(1500), 0};
  EXPECT_EQ(backoff_delay(limits, 0, 0.5).count(), 100);
  EXPECT_EQ(backoff_delay(limits, 1, 0.5).count(), 200);
  EXPECT_EQ(backoff_delay(limits, 3, 0.5).count(), 800);
  EXPECT_EQ(backoff_delay(limits, 4, 0.5).count(), 1500);
  EXPECT_EQ(backoff_delay(limits, 1'000'000, 0.5).count(), 1500) << "no overflow";
}

TEST(Backoff, JitterSpreadsAroundTheDelayAndNeverPassesTheMost) {
  const BackoffLimits limits{milliseconds(1000), milliseconds(1200), 0.5};
  EXPECT_EQ(backoff_delay(limits, 0, 0).count(), 500);
  EXPECT_EQ(backoff_delay(limits, 0, 0.6).count(), 1100);
  EXPECT_EQ(backoff_delay(limits, 0, 0.9999).count(), 1200);
}

TEST(Backoff, TwoClientsDoNotWaitAlike) {
  Backoff one(BackoffLimits{});
  Backoff other(BackoffLimits{});
  int different = 0;
  for (int i = 0; i < 8; ++i) different += one.next() != other.next();
  EXPECT_GT(different, 0);
}

TEST(Backoff, ResetBeginsAnew) {
  Backoff backoff({milliseconds(10), milliseconds(1000), 0});
  backoff.next();
  EXPECT_EQ(backoff.next().count(), 20);
  backoff.reset();
  EXPECT_EQ(backoff.next().count(), 10);
}

}  // namespace
}  // namespace godwit::kube
