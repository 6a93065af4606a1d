#include "kube/quantity.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace godwit::kube {
namespace {

constexpr double thousandths = 1000;

constexpr std::array<std::pair<std::string_view, double>, 16> units{
    {{"", 1},
     {"n", 1e-9},
     {"u", 1e-6},
     {"m", 1e-3},
     {"k", 1e3},
     {"M", 1e6},
     {"G", 1e9},
     {"T", 1e12},
     {"P", 1e15},
     {"E", 1e18},
     {"Ki", 1024.0},
     {"Mi", 1024.0 * 1024},
     {"Gi", 1024.0 * 1024 * 1024},
     {"Ti", 1024.0 * 1024 * 1024 * 1024},
     {"Pi", 1024.0 * 1024 * 1024 * 1024 * 1024},
     {"Ei", 1024.0 * 1024 * 1024 * 1024 * 1024 * 1024}}};

}  // namespace

std::optional<int64_t> parse_quantity(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || std::string_view("0123456789.-").find(text.front()) == std::string_view::npos)
    return std::nullopt;
  // An exponent belongs to the number, if one follows; "E" alone is a unit.
  const size_t number_end = text.find_first_not_of("0123456789.-");
  const std::string_view rest = number_end == std::string_view::npos ? "" : text.substr(number_end);
  const bool exponent = rest.size() > 1 && (rest[0] == 'e' || rest[0] == 'E');
  double number = 0;
  const auto format = exponent ? std::chars_format::general : std::chars_format::fixed;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, format);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<size_t>(end - text.data()));
  for (const auto& [name, factor] : units) {
    if (name != unit) continue;
    // What is not exact in binary, like 0.1, is not rounded up to the next thousandth.
    const double amount = number * factor * thousandths;
    const double rounded = std::ceil(amount - std::min(std::abs(amount) * 1e-12, 0.01));
    if (rounded >= static_cast<double>(std::numeric_limits<int64_t>::max())) return std::numeric_limits<int64_t>::max();
    if (rounded <= static_cast<double>(std::numeric_limits<int64_t>::min())) return std::numeric_limits<int64_t>::min();
    return static_cast<int64_t>(rounded);
  }
  return std::nullopt;
}

}  // namespace godwit::kube
