// The redis protocol (RESP 2) as far as the demo's clients need it, strict: what does not follow the protocol is an
// error, since the clients are there to notice bytes that were lost or mixed up.
// https://redis.io/docs/latest/develop/reference/protocol-spec/
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::cli {

void append_command(std::string& out, std::initializer_list<std::string_view> words);

struct Reply {
  enum class Kind { status, error, integer, bulk, null };
  Kind kind = Kind::null;
  std::string text;  // of status, error and bulk
  int64_t integer = 0;
};

// Takes replies out of a stream of bytes. Owned by one connection, used by its thread.
class ReplyParser {
 public:
  static constexpr size_t bulk_bytes_max = size_t{1} << 20;

  void feed(const char* data, size_t size);
  // The next whole reply, nullopt if it has not come in full yet. After an error the stream is of no more use.
  Result<std::optional<Reply>> next();
  [[nodiscard]] size_t buffered() const { return buffer_.size() - at_; }

 private:
  std::string buffer_;
  size_t at_ = 0;  // of buffer_, what has been taken
};

}  // namespace godwit::cli
