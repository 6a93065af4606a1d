#pragma once

#include <cstddef>

#include "base/result.h"

namespace godwit::os {

// A two-way stream of bytes: a TLS connection, or a pipe in a test. Implementations bound every wait and say so in the
// error. One thread at a time may write and one may read.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Sends all of it; may buffer until flush().
  virtual Result<> write(const void* data, size_t size) = 0;
  virtual Result<> flush() { return {}; }
  // Exactly `size` bytes.
  virtual Result<> read_exact(void* data, size_t size) = 0;
};

}  // namespace godwit::os
