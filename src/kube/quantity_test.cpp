#include "kube/quantity.h"

#include <gtest/gtest.h>

#include <limits>

namespace godwit::kube {
namespace {

TEST(Quantity, IsReadInThousandths) {
  EXPECT_EQ(parse_quantity("2"), 2000);
  EXPECT_EQ(parse_quantity("100m"), 100);
  EXPECT_EQ(parse_quantity("0.1"), 100);
  EXPECT_EQ(parse_quantity("1.5"), 1500);
  EXPECT_EQ(parse_quantity("250000u"), 250);
  EXPECT_EQ(parse_quantity("1n"), 1) << "rounded up";
  EXPECT_EQ(parse_quantity("0"), 0);
  EXPECT_EQ(parse_quantity("3e2"), 300'000);
  EXPECT_EQ(parse_quantity("3E-1"), 300);
  EXPECT_EQ(parse_quantity("128Mi"), int64_t{128} * 1024 * 1024 * 1000);
  EXPECT_EQ(parse_quantity("1.5Gi"), int64_t{1536} * 1024 * 1024 * 1000);
  EXPECT_EQ(parse_quantity("2G"), 2'000'000'000'000);
  EXPECT_EQ(parse_quantity("-1"), -1000);
  EXPECT_EQ(parse_quantity("9E"), std::numeric_limits<int64_t>::max()) << "more than there can be";
}

TEST(Quantity, NonsenseIsNone) {
  for (const char* text : {"", "Mi", "1 Gi", "1gi", "1Gi2", "x", "1e", "--1", "nan", "inf"}) {
    EXPECT_FALSE(parse_quantity(text)) << text;
  }
}

}  // namespace
}  // namespace godwit::kube
