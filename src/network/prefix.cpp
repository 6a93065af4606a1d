#include "network/prefix.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>

namespace godwit::network {
namespace {

struct Prefix {
  int family = 0;
  size_t bits = 0;
  std::array<uint8_t, 16> bytes{};  // those behind the prefix are 0

  bool operator==(const Prefix&) const = default;
};

std::optional<Prefix> parse(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return std::nullopt;
  Prefix prefix;
  const auto [end, error] = std::from_chars(text.data() + slash + 1, text.data() + text.size(), prefix.bits);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const std::string address = text.substr(0, slash);
  for (const int family : {AF_INET, AF_INET6}) {
    if (::inet_pton(family, address.c_str(), prefix.bytes.data()) != 1) continue;
    prefix.family = family;
    if (prefix.bits > (family == AF_INET ? 32U : 128U)) return std::nullopt;
    for (size_t bit = prefix.bits; bit < prefix.bytes.size() * 8; ++bit) {
      prefix.bytes[bit / 8] &= static_cast<uint8_t>(~(0x80U >> bit % 8));
    }
    return prefix;
  }
  return std::nullopt;
}

}  // namespace

bool same_network(const std::string& a, const std::string& b) {
  const auto left = parse(a);
  return left && left == parse(b);
}

bool same_family(const std::string& a, const std::string& b) {
  return (a.find(':') == std::string::npos) == (b.find(':') == std::string::npos);
}

}  // namespace godwit::network
