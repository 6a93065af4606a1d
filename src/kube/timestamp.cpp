#include "kube/timestamp.h"

#include <ctime>

namespace godwit::kube {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

tm utc_of(WallTime when) {
  const auto whole = std::chrono::floor<seconds>(when).time_since_epoch().count();
  tm utc{};
  gmtime_r(&whole, &utc);
  return utc;
}

std::string date_and_time(const tm& utc) {
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec);
}

// Takes a number of exactly `digits` digits, and `after` behind it unless that is 0, off the front of `text`.
bool take(std::string_view& text, size_t digits, char after, int& value) {
  if (text.size() < digits + (after == 0 ? 0 : 1)) return false;
  value = 0;
  for (size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return false;
    value = value * 10 + (text[i] - '0');
  }
  if (after != 0 && text[digits] != after) return false;
  text.remove_prefix(digits + (after == 0 ? 0 : 1));
  return true;
}

microseconds take_fraction(std::string_view& text) {
  microseconds fraction{0};
  if (!text.starts_with('.')) return fraction;
  text.remove_prefix(1);
  for (int64_t unit = 100'000; !text.empty() && text[0] >= '0' && text[0] <= '9'; unit /= 10) {
    fraction += microseconds(unit * (text[0] - '0'));
    text.remove_prefix(1);
  }
  return fraction;
}

bool take_offset(std::string_view text, seconds& offset) {
  if (text == "Z" || text == "z") return true;
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return false;
  const int sign = text[0] == '+' ? 1 : -1;
  text.remove_prefix(1);
  int hours = 0;
  int minutes = 0;
  if (!take(text, 2, ':', hours) || !take(text, 2, 0, minutes) || !text.empty()) return false;
  offset = seconds(static_cast<int64_t>(sign) * (hours * 3600 + minutes * 60));
  return true;
}

}  // namespace

std::string format_time(WallTime when) {
  return date_and_time(utc_of(when)) + "Z";
}

std::string format_micro_time(WallTime when) {
  const auto fraction = std::chrono::floor<microseconds>(when) - std::chrono::floor<seconds>(when);
  return fmt::format("{}.{:06}Z", date_and_time(utc_of(when)), microseconds(fraction).count());
}

Result<WallTime> parse_timestamp(std::string_view text) {
  std::string_view rest = text;
  tm utc{};
  seconds offset{0};
  const bool good = take(rest, 4, '-', utc.tm_year) && take(rest, 2, '-', utc.tm_mon) &&
                    take(rest, 2, 'T', utc.tm_mday) && take(rest, 2, ':', utc.tm_hour) &&
                    take(rest, 2, ':', utc.tm_min) && take(rest, 2, 0, utc.tm_sec);
  if (!good) return fail("\"{}\" is no RFC 3339 time", text);
  const microseconds fraction = take_fraction(rest);
  if (!take_offset(rest, offset)) return fail("\"{}\" is no RFC 3339 time", text);
  utc.tm_year -= 1900;
  utc.tm_mon -= 1;
  return WallTime(seconds(timegm(&utc)) - offset + fraction);
}

}  // namespace godwit::kube
