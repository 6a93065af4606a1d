#include "base/log.h"

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <ctime>
#include <mutex>

namespace godwit {
namespace {

LogLevel level_from_environment() {
  const char* text = std::getenv("GODWIT_LOG");
  const std::string_view level = text == nullptr ? "" : text;
  if (level == "debug") return LogLevel::debug;
  if (level == "warning") return LogLevel::warning;
  if (level == "error") return LogLevel::error;
  return LogLevel::info;
}

std::atomic<LogLevel> current_level{level_from_environment()};
std::mutex name_mutex;
std::string process_name = "godwit";

}  // namespace

void set_log_level(LogLevel level) {
  current_level = level;
}

void set_log_name(std::string name) {
  const std::lock_guard lock(name_mutex);
  process_name = std::move(name);
}

bool log_enabled(LogLevel level) {
  return level >= current_level.load(std::memory_order_relaxed);
}

void log_line(LogLevel level, std::string_view text) {
  if (!log_enabled(level)) return;
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm local{};
  localtime_r(&now.tv_sec, &local);
  std::string line;
  {
    const std::lock_guard lock(name_mutex);
    line = fmt::format("{:02}:{:02}:{:02}.{:03} {} {}[{}]: {}\n", local.tm_hour, local.tm_min, local.tm_sec,
                       now.tv_nsec / 1000000, "DIWE"[static_cast<int>(level)], process_name, getpid(), text);
  }
  // One write a line, so that lines of several processes on one pipe do not mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace godwit
