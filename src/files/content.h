// Sends the content of one regular file: only the blocks that differ from what the destination has.
#pragma once

#include <cstdint>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "files/manifest.h"
#include "files/source.h"
#include "files/wire.h"

namespace godwit::files {

// One pass over all roots: where records go, what was done, when it must end.
struct Pass {
  RecordWriter& out;
  Deadline deadline;
  uint64_t& bytes_left;  // of SourceOptions::limit_bytes
  PassStats stats;
};

// The hash of a block that stands for its content: 0 if it is all zeros. Zeros at the end do not count, so that a file
// that only grows by a hole keeps the hash of its last block.
uint64_t block_hash(const char* data, size_t size);

// Sends data and zero records that turn what the destination has (`inode`'s hashes; nothing if `fresh`) into the
// content of `fd`, up to the `size` that it had when its status was read, and brings the hashes up to date. Returns the
// size that was found, smaller if the file shrinks meanwhile. `buffer` is scratch space.
Result<uint64_t> send_content(int fd, uint64_t size, bool fresh, uint16_t root, Inode& inode, Pass& pass,
                              std::vector<char>& buffer);

}  // namespace godwit::files
