// The one error convention of the tree: a function that can fail for reasons outside the program returns Result<T>.
// Broken invariants abort (GODWIT_CHECK); exceptions thrown by libraries are caught at the room that calls them.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <utility>

#include <fmt/core.h>

namespace godwit {

// What went wrong, in words for the person who has to act on it. `code` is the errno that caused it, 0 if none did.
struct Error {
  std::string message;
  int code = 0;

  // Puts what was being done before what went wrong: "open /x: no such file" -> "read config: open /x: ...".
  [[nodiscard]] Error context(const std::string& doing) && { return {doing + ": " + message, code}; }
};

template <typename T = void>
using Result = std::expected<T, Error>;

template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail(fmt::format_string<Args...> format, Args&&... args) {
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), 0});
}

// Like fail(), for a system call that has just failed: keeps errno and appends its text.
template <typename... Args>
[[nodiscard]] std::unexpected<Error> fail_errno(fmt::format_string<Args...> format, Args&&... args) {
  const int code = errno;
  return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...) + ": " + std::strerror(code), code});
}

[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace godwit

#define GODWIT_CONCAT_INNER(a, b) a##b
#define GODWIT_CONCAT(a, b) GODWIT_CONCAT_INNER(a, b)

// Returns from the enclosing function if `expression` (a Result<...>) failed.
#define GODWIT_TRY(expression)                                     \
  do {                                                             \
    if (auto godwit_try = (expression); !godwit_try.has_value()) { \
      return std::unexpected(std::move(godwit_try).error());       \
    }                                                              \
  } while (false)

// GODWIT_ASSIGN(auto fd, open_it()): declares or assigns the value, or returns the error.
#define GODWIT_ASSIGN(lhs, expression) GODWIT_ASSIGN_IMPL(GODWIT_CONCAT(godwit_result_, __LINE__), lhs, expression)
#define GODWIT_ASSIGN_IMPL(result, lhs, expression)                           \
  auto result = (expression);                                                 \
  if (!result.has_value()) return std::unexpected(std::move(result).error()); \
  lhs = std::move(result).value()

// For what must never be false; not for input, peers or the kernel.
#define GODWIT_CHECK(condition)                                               \
  do {                                                                        \
    if (!(condition)) ::godwit::check_failed(__FILE__, __LINE__, #condition); \
  } while (false)
