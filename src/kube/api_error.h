// What can go wrong when talking to an API server, typed so that callers decide by reason and never by message text.
#pragma once

#include <cerrno>
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::kube {

using nlohmann::json;

enum class ApiErrorKind {
  local,      // nothing was sent: configuration, credentials, a file
  transport,  // no answer: refused, reset, TLS
  timeout,    // the deadline passed, or no byte came for too long
  stopped,    // the caller asked to stop
  answer,     // what came is not what the API says: too large, no JSON
  status      // the server refused; http_status and reason say why
};

struct ApiError {
  ApiError(ApiErrorKind error_kind, std::string text) : kind(error_kind), message(std::move(text)) {}
  // Errors of other rooms happen before anything is sent.
  ApiError(Error error)  // NOLINT(google-explicit-constructor): lets GODWIT_TRY pass them on
      : kind(ApiErrorKind::local), message(std::move(error.message)) {}
  // For functions outside this room, which return Result<T>. Code EAGAIN: temporary() or conflict().
  operator Error() const {
    return Error{message, temporary() || conflict() ? EAGAIN : 0};
  }  // NOLINT(google-explicit-constructor)

  [[nodiscard]] ApiError context(const std::string& doing) && {
    message = doing + ": " + message;
    return std::move(*this);
  }

  [[nodiscard]] bool is(std::string_view expected_reason) const { return reason == expected_reason; }
  [[nodiscard]] bool not_found() const { return http_status == 404; }
  [[nodiscard]] bool already_exists() const { return is("AlreadyExists"); }
  // The object has changed, or a precondition does not hold: read again, then decide again.
  [[nodiscard]] bool conflict() const { return is("Conflict"); }
  [[nodiscard]] bool forbidden() const { return http_status == 403; }
  [[nodiscard]] bool unauthorized() const { return http_status == 401; }
  [[nodiscard]] bool invalid() const { return http_status == 422; }
  // The resource version or the continue token is too old: list again.
  [[nodiscard]] bool gone() const { return http_status == 410; }
  [[nodiscard]] bool throttled() const { return http_status == 429; }
  [[nodiscard]] bool stopped() const { return kind == ApiErrorKind::stopped; }
  // The same request may succeed later without anyone changing anything.
  [[nodiscard]] bool temporary() const {
    return kind == ApiErrorKind::transport || kind == ApiErrorKind::timeout || throttled() || http_status >= 500;
  }

  ApiErrorKind kind;
  std::string message;                      // in words, with the server's own
  int http_status = 0;                      // the Status object's code; 0 if there was no answer
  std::string reason;                       // the Status object's, e.g. "AlreadyExists"
  json details;                             // the Status object's (name, kind, causes), or null
  std::optional<milliseconds> retry_after;  // what the server asked for
};

template <typename T = void>
using ApiResult = std::expected<T, ApiError>;

template <typename... Args>
[[nodiscard]] std::unexpected<ApiError> api_fail(ApiErrorKind kind, fmt::format_string<Args...> format,
                                                 Args&&... args) {
  return std::unexpected(ApiError(kind, fmt::format(format, std::forward<Args>(args)...)));
}

// Decodes the body of an answer that is no success: a Status object, or whatever a proxy in between wrote.
// `retry_after` is the header's text ("" if absent); the Status object's own figure counts where there is no header.
ApiError decode_status(int http_status, std::string_view body, std::string_view retry_after);
// The same for a Status object that came as an event of a watch.
ApiError decode_status(const json& status);

}  // namespace godwit::kube
