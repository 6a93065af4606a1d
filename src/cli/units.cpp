#include "cli/units.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>

namespace godwit::cli {
namespace {

struct Quantity {
  double number = 0;
  std::string unit;  // without spaces
};

// "1.5 GiB" -> 1.5 and "GiB".
Result<Quantity> split(std::string_view text, const char* example) {
  Quantity quantity;
  const bool digit_first = !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0;
  const auto [rest, error] =
      std::from_chars(text.data(), text.data() + text.size(), quantity.number, std::chars_format::fixed);
  if (!digit_first || error != std::errc()) return fail("'{}' does not start with a number; e.g. {}", text, example);
  for (const char* at = rest; at != text.data() + text.size(); ++at) {
    if (*at != ' ') quantity.unit += *at;
  }
  if (quantity.number <= 0) return fail("'{}' must be more than 0", text);
  return quantity;
}

struct Prefix {
  std::string_view name;
  double factor;
};
constexpr std::array<Prefix, 8> prefixes{{{"ki", 1024.0},
                                          {"mi", 1048576.0},
                                          {"gi", 1073741824.0},
                                          {"ti", 1099511627776.0},
                                          {"k", 1e3},
                                          {"m", 1e6},
                                          {"g", 1e9},
                                          {"t", 1e12}}};

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// The factor of the prefix `name` ("", "k", "gi", ...), 0 if there is none of that name.
double prefix_factor(std::string_view name) {
  if (name.empty()) return 1;
  for (const Prefix& prefix : prefixes) {
    if (prefix.name == name) return prefix.factor;
  }
  return 0;
}

// Whole bytes within what a 64-bit count of bytes can sensibly hold.
Result<uint64_t> whole(double value, std::string_view text) {
  constexpr double most = 1e18;
  if (value < 1 || value > most) return fail("'{}' is out of range", text);
  return static_cast<uint64_t>(std::llround(value));
}

std::string three_digits(double value, const char* unit) {
  if (value < 9.995) return fmt::format("{:.2f} {}", value, unit);
  if (value < 99.95) return fmt::format("{:.1f} {}", value, unit);
  return fmt::format("{:.0f} {}", value, unit);
}

}  // namespace

Result<uint64_t> parse_size_bytes(std::string_view text) {
  GODWIT_ASSIGN(const Quantity quantity, split(text, "1GiB or 512MiB"));
  std::string unit = lower(quantity.unit);
  const bool bytes_said = unit.ends_with('b');
  if (bytes_said) unit.pop_back();
  // "1G" is what memory tools call 1 GiB; "1GB" is said to be decimal.
  if (!bytes_said && unit.size() == 1) unit += 'i';
  const double factor = prefix_factor(unit);
  if (factor == 0) return fail("'{}' is not a size: unknown unit '{}'; e.g. 1GiB or 512MiB", text, quantity.unit);
  return whole(quantity.number * factor, text);
}

Result<uint64_t> parse_rate_bytes_per_s(std::string_view text) {
  GODWIT_ASSIGN(const Quantity quantity, split(text, "1Gbit/s or 200MB/s"));
  std::string unit = quantity.unit;
  if (unit.ends_with("/s")) unit.resize(unit.size() - 2);
  double per_unit = 1;
  if (lower(unit).ends_with("bit")) {
    unit.resize(unit.size() - 3);
    per_unit = 0.125;
  } else if (unit.ends_with('B')) {
    unit.pop_back();
  } else {
    return fail("'{}' does not say bits or bytes a second; e.g. 1Gbit/s or 200MB/s", text);
  }
  const double factor = prefix_factor(lower(unit));
  if (factor == 0) return fail("'{}' is not a rate: unknown unit '{}'; e.g. 1Gbit/s or 200MB/s", text, quantity.unit);
  return whole(quantity.number * factor * per_unit, text);
}

Result<double> parse_duration_ms(std::string_view text) {
  GODWIT_ASSIGN(const Quantity quantity, split(text, "40ms, 90s or 5m"));
  constexpr std::array<Prefix, 4> units{{{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}}};
  for (const Prefix& unit : units) {
    if (unit.name != quantity.unit) continue;
    const double ms = quantity.number * unit.factor;
    constexpr double most_ms = 30.0 * 24 * 3600000;
    if (ms > most_ms) return fail("'{}' is longer than 30 days", text);
    return ms;
  }
  if (quantity.unit.empty()) return fail("'{}' does not say its unit: ms, s, m or h", text);
  return fail("'{}' is not a duration: unknown unit '{}'; ms, s, m or h", text, quantity.unit);
}

Result<double> parse_milliseconds(std::string_view text) {
  const bool unit_said = text.find_first_not_of("0123456789. ") != std::string_view::npos;
  return parse_duration_ms(unit_said ? std::string(text) : std::string(text) + "ms");
}

std::string format_bytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t step = 0;
  for (; value >= 999.5 && step + 1 < units.size(); ++step) value /= 1024;
  return step == 0 ? fmt::format("{} B", bytes) : three_digits(value, units[step]);
}

std::string format_rate(double bytes_per_s) {
  return format_bytes(static_cast<uint64_t>(std::clamp(bytes_per_s, 0.0, 1e18))) + "/s";
}

std::string format_ms(double ms) {
  if (ms < 99.95) return fmt::format("{:.1f} ms", ms);
  if (ms < 999.5) return fmt::format("{:.0f} ms", ms);
  if (ms < 59995) return three_digits(ms / 1000, "s");
  const auto seconds = static_cast<uint64_t>(std::llround(std::min(ms, 1e15) / 1000));
  return fmt::format("{} m {:02} s", seconds / 60, seconds % 60);
}

std::string format_count(uint64_t count) {
  std::string digits = std::to_string(count);
  for (size_t at = digits.size(); at > 3;) {
    at -= 3;
    digits.insert(at, " ");
  }
  return digits;
}

}  // namespace godwit::cli
