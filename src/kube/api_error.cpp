#include "kube/api_error.h"

#include <charconv>

#include "kube/json_path.h"

namespace godwit::kube {
namespace {

constexpr size_t foreign_text_bytes_max = 300;
constexpr int retry_after_seconds_max = 300;

std::optional<milliseconds> seconds_of(std::string_view text) {
  int seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || seconds < 0) return std::nullopt;
  return std::chrono::seconds(std::min(seconds, retry_after_seconds_max));
}

}  // namespace

ApiError decode_status(const json& status) {
  ApiError error(ApiErrorKind::status, text_at(status, "/message"));
  error.http_status = static_cast<int>(number_at(status, "/code"));
  error.reason = text_at(status, "/reason");
  if (const json* details = value_at(status, "/details"); details != nullptr) error.details = *details;
  const int64_t seconds = number_at(status, "/details/retryAfterSeconds");
  if (seconds > 0) error.retry_after = std::chrono::seconds(std::min<int64_t>(seconds, retry_after_seconds_max));
  if (error.message.empty()) error.message = fmt::format("the server answered {} {}", error.http_status, error.reason);
  return error;
}

ApiError decode_status(int http_status, std::string_view body, std::string_view retry_after) {
  const json parsed = json::parse(body, nullptr, false);
  ApiError error(ApiErrorKind::status, "");
  if (parsed.is_object() && text_at(parsed, "/kind") == "Status") {
    error = decode_status(parsed);
  } else {
    const bool cut = body.size() > foreign_text_bytes_max;
    error.message = fmt::format("the server answered {}: {}{}", http_status, body.substr(0, foreign_text_bytes_max),
                                cut ? "..." : "");
  }
  error.http_status = http_status;
  if (const auto header = seconds_of(retry_after)) error.retry_after = header;
  return error;
}

}  // namespace godwit::kube
