#include "cli/resp.h"

#include <fmt/format.h>
#include <charconv>

namespace godwit::cli {
namespace {

constexpr size_t line_bytes_max = 4096;

Result<int64_t> parse_integer(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return fail("'{}' is not a number", text.substr(0, 40));
  return value;
}

}  // namespace

void append_command(std::string& out, std::initializer_list<std::string_view> words) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", words.size());
  for (const std::string_view word : words) {
    fmt::format_to(std::back_inserter(out), "${}\r\n", word.size());
    out += word;
    out += "\r\n";
  }
}

void ReplyParser::feed(const char* data, size_t size) {
  if (at_ == buffer_.size()) {
    buffer_.clear();
    at_ = 0;
  } else if (at_ > bulk_bytes_max) {
    buffer_.erase(0, at_);
    at_ = 0;
  }
  buffer_.append(data, size);
}

Result<std::optional<Reply>> ReplyParser::next() {
  const std::string_view rest = std::string_view(buffer_).substr(at_);
  const size_t end = rest.find("\r\n");
  if (end == std::string_view::npos) {
    if (rest.size() > line_bytes_max) return fail("a reply's line is longer than {} bytes", line_bytes_max);
    return std::nullopt;
  }
  if (end == 0) return fail("a reply is empty");
  const std::string_view line = rest.substr(1, end - 1);
  size_t used = end + 2;
  Reply reply;
  switch (rest[0]) {
    case '+':
    case '-':
      reply.kind = rest[0] == '+' ? Reply::Kind::status : Reply::Kind::error;
      reply.text = line;
      break;
    case ':': {
      reply.kind = Reply::Kind::integer;
      GODWIT_ASSIGN(reply.integer, parse_integer(line));
      break;
    }
    case '$': {
      GODWIT_ASSIGN(const int64_t length, parse_integer(line));
      if (length == -1) break;  // null
      if (length < 0 || static_cast<size_t>(length) > bulk_bytes_max) return fail("a bulk of {} bytes", length);
      const auto size = static_cast<size_t>(length);
      if (rest.size() < used + size + 2) return std::nullopt;
      if (rest.substr(used + size, 2) != "\r\n") return fail("a bulk of {} bytes does not end where it should", size);
      reply.kind = Reply::Kind::bulk;
      reply.text = rest.substr(used, size);
      used += size + 2;
      break;
    }
    default:
      return fail("a reply begins with byte {:#04x}", static_cast<unsigned char>(rest[0]));
  }
  at_ += used;
  return reply;
}

}  // namespace godwit::cli
