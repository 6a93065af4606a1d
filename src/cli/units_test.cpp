#include "cli/units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::cli {
namespace {

using ::testing::HasSubstr;

TEST(Units, Sizes) {
  EXPECT_EQ(parse_size_bytes("4096"), 4096U);
  EXPECT_EQ(parse_size_bytes("1GiB"), uint64_t{1} << 30);
  EXPECT_EQ(parse_size_bytes("512 MiB"), uint64_t{512} << 20);
  EXPECT_EQ(parse_size_bytes("1.5g"), uint64_t{3} << 29);
  EXPECT_EQ(parse_size_bytes("200MB"), 200000000U);
  EXPECT_EQ(parse_size_bytes("64kib"), 65536U);
  EXPECT_EQ(parse_size_bytes("7B"), 7U);
}

TEST(Units, SizesThatAreNone) {
  for (const char* text : {"", "GiB", "-1GiB", "+1GiB", "0", "0GiB", "inf", "nan", "1e9", "1GiBs", "1 bit", "0x10",
                           "99999999999999TiB", "1,5GiB", "0.1B"}) {
    EXPECT_FALSE(parse_size_bytes(text).has_value()) << text;
  }
  EXPECT_THAT(parse_size_bytes("1XB").error().message, HasSubstr("unknown unit 'XB'"));
  EXPECT_THAT(parse_size_bytes("much").error().message, HasSubstr("does not start with a number"));
}

TEST(Units, Rates) {
  EXPECT_EQ(parse_rate_bytes_per_s("1Gbit/s"), 125000000U);
  EXPECT_EQ(parse_rate_bytes_per_s("100Mbit"), 12500000U);
  EXPECT_EQ(parse_rate_bytes_per_s("200MB/s"), 200000000U);
  EXPECT_EQ(parse_rate_bytes_per_s("1.5 GiB/s"), uint64_t{3} << 29);
  EXPECT_EQ(parse_rate_bytes_per_s("8bit/s"), 1U);
  EXPECT_THAT(parse_rate_bytes_per_s("1G").error().message, HasSubstr("bits or bytes"));
  EXPECT_THAT(parse_rate_bytes_per_s("1Gb/s").error().message, HasSubstr("bits or bytes"));
  EXPECT_THAT(parse_rate_bytes_per_s("1Qbit/s").error().message, HasSubstr("unknown unit"));
  EXPECT_FALSE(parse_rate_bytes_per_s("0Gbit/s").has_value());
}

TEST(Units, Durations) {
  EXPECT_EQ(parse_duration_ms("40ms"), 40);
  EXPECT_EQ(parse_duration_ms("1.5s"), 1500);
  EXPECT_EQ(parse_duration_ms("5 m"), 300000);
  EXPECT_EQ(parse_duration_ms("2h"), 7200000);
  EXPECT_THAT(parse_duration_ms("5").error().message, HasSubstr("does not say its unit"));
  EXPECT_THAT(parse_duration_ms("5min").error().message, HasSubstr("unknown unit 'min'"));
  EXPECT_FALSE(parse_duration_ms("0s").has_value());
  EXPECT_FALSE(parse_duration_ms("-5s").has_value());
  EXPECT_FALSE(parse_duration_ms("9000h").has_value());
  EXPECT_EQ(parse_milliseconds("40"), 40);
  EXPECT_EQ(parse_milliseconds("1.5s"), 1500);
  EXPECT_FALSE(parse_milliseconds("").has_value());
  EXPECT_FALSE(parse_milliseconds("fast").has_value());
}

TEST(Units, Formatting) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(999), "999 B");
  EXPECT_EQ(format_bytes(1000), "0.98 KiB");
  EXPECT_EQ(format_bytes(uint64_t{1} << 30), "1.00 GiB");
  EXPECT_EQ(format_bytes(36071014), "34.4 MiB");
  EXPECT_EQ(format_bytes(uint64_t{412} << 20), "412 MiB");
  EXPECT_EQ(format_rate(1.5 * (1 << 30)), "1.50 GiB/s");
  EXPECT_EQ(format_ms(3.14), "3.1 ms");
  EXPECT_EQ(format_ms(99.96), "100 ms");
  EXPECT_EQ(format_ms(1520), "1.52 s");
  EXPECT_EQ(format_ms(125000), "2 m 05 s");
  EXPECT_EQ(format_count(7), "7");
  EXPECT_EQ(format_count(262144), "262 144");
  EXPECT_EQ(format_count(1000000), "1 000 000");
}

}  // namespace
}  // namespace godwit::cli
