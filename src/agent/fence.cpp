#include "agent/fence.h"

#include <cerrno>
#include <charconv>

#include "agent/session_directory.h"
#include "base/deadline.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

constexpr std::string_view word = "fence ";
constexpr auto lock_time = std::chrono::seconds(5);

Result<int64_t> parse_number(std::string_view text) {
  int64_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return fail("'{}' is no number", text);
  return number;
}

}  // namespace

std::string fence_line(int64_t sequence) {
  return fmt::format("{}{}", word, sequence);
}

Result<int64_t> parse_fence(const std::string& line) {
  if (!line.starts_with(word)) return fail("an order without the token of its leader");
  return parse_number(std::string_view(line).substr(word.size()));
}

Result<> check_fence(int64_t sequence) {
  const std::string path = SessionDirectory::root() + "/../fence";
  GODWIT_TRY(os::make_directories(SessionDirectory::root()));
  auto lock = os::lock_file(path + ".lock", Deadline::after(lock_time));
  if (!lock && lock.error().code == EWOULDBLOCK) return fail("{} is locked by another order", path);
  GODWIT_ASSIGN(const UniqueFd held, std::move(lock));
  int64_t highest = 0;
  if (os::exists(path)) {
    GODWIT_ASSIGN(const std::string text, os::read_file(path));
    GODWIT_ASSIGN(highest, parse_number(text));
  }
  if (sequence < highest) return fail("an order of leader {}, which has been succeeded by {}", sequence, highest);
  return sequence == highest ? Result<>{} : os::write_file_atomic(path, std::to_string(sequence));
}

}  // namespace godwit::agent
