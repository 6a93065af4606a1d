// Diagnostics on standard error, one line each: "12:00:00.123 I agent[42]: text". Never contents of a container's
// memory, files or packets.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>

namespace godwit {

enum class LogLevel { debug, info, warning, error };

// Lines below `level` are dropped. Starts at info, or what GODWIT_LOG says (debug, info, warning, error).
void set_log_level(LogLevel level);
// The name that stands in each line of this process, e.g. "agent" or "destination 3f2a".
void set_log_name(std::string name);
void log_line(LogLevel level, std::string_view text);
bool log_enabled(LogLevel level);

template <typename... Args>
void log_debug(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::debug)) log_line(LogLevel::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::info)) log_line(LogLevel::info, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> format, Args&&... args) {
  if (log_enabled(LogLevel::warning)) log_line(LogLevel::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void log_error(fmt::format_string<Args...> format, Args&&... args) {
  log_line(LogLevel::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace godwit
