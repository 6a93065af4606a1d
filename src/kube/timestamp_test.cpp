#include "kube/timestamp.h"

#include <gtest/gtest.h>

namespace godwit::kube {
namespace {

TEST(Timestamp, IsWrittenInBothFormsOfTheApi) {
  const WallTime when{std::chrono::microseconds(1'714'564'800'000'042)};
  EXPECT_EQ(format_time(when), "2024-05-01T12:00:00Z");
  EXPECT_EQ(format_micro_time(when), "2024-05-01T12:00:00.000042Z");
}

TEST(Timestamp, WhatIsWrittenIsReadBack) {
  const WallTime when{std::chrono::microseconds(1'714'564'800'123'456)};
  EXPECT_EQ(parse_timestamp(format_micro_time(when)).value(), when);
  EXPECT_EQ(parse_timestamp(format_time(when)).value(), std::chrono::floor<std::chrono::seconds>(when));
}

TEST(Timestamp, OffsetsAndOtherFractionsAreUnderstood) {
  const WallTime noon = parse_timestamp("2024-05-01T12:00:00Z").value();
  EXPECT_EQ(parse_timestamp("2024-05-01T14:30:00+02:30").value(), noon);
  EXPECT_EQ(parse_timestamp("2024-05-01T07:00:00-05:00").value(), noon);
  EXPECT_EQ(parse_timestamp("2024-05-01T12:00:00.5Z").value(), noon + std::chrono::milliseconds(500));
  EXPECT_EQ(parse_timestamp("2024-05-01T12:00:00.000000999Z").value(), noon) << "below a microsecond";
}

TEST(Timestamp, AnythingElseIsRefused) {
  for (const char* text : {"", "now", "2024-05-01", "2024-05-01T12:00:00", "2024-05-01 12:00:00Z",
                           "2024-05-01T12:00:00+0200", "2024-05-01T12:00:00Zx", "20x4-05-01T12:00:00Z"}) {
    EXPECT_FALSE(parse_timestamp(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace godwit::kube
