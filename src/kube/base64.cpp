#include "kube/base64.h"

#include <cstdint>

namespace godwit::kube {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

}  // namespace

Result<std::string> decode_base64(std::string_view text) {
  std::string data;
  uint32_t bits = 0;
  int count = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    if (c == '=') break;
    const size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return fail("no base64 at byte {}", i);
    bits = (bits << 6) | static_cast<uint32_t>(value);
    count += 6;
    if (count >= 8) {
      count -= 8;
      data += static_cast<char>((bits >> count) & 0xff);
    }
  }
  return data;
}

std::string encode_base64(std::string_view data) {
  std::string text;
  for (size_t i = 0; i < data.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j) {
      bits = (bits << 8) | (i + j < data.size() ? static_cast<unsigned char>(data[i + j]) : 0U);
    }
    for (size_t j = 0; j < 4; ++j) text += i + j <= data.size() ? alphabet[(bits >> (18 - 6 * j)) & 63] : '=';
  }
  return text;
}

}  // namespace godwit::kube
