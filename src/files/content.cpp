#include "files/content.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>

#include <xxhash.h>

namespace godwit::files {
namespace {

// Beyond it no hashes are kept (8 MiB of them) and a changed file is sent whole.
constexpr uint64_t kHashedFileBytesMax = uint64_t{64} << 30;
constexpr size_t kPageBytes = 4096;
constexpr uint64_t kDeadlineCheckBlocks = 64;

size_t without_trailing_zeros(const char* data, size_t size) {
  static constexpr char zeros[kPageBytes] = {};
  while (size >= kPageBytes && std::memcmp(data + size - kPageBytes, zeros, kPageBytes) == 0) size -= kPageBytes;
  while (size > 0 && data[size - 1] == 0) --size;
  return size;
}

// Which parts of a file hold data, asked of the file system as the reading goes on.
class DataMap {
 public:
  DataMap(int fd, uint64_t size) : fd_(fd), size_(size) {}
  // Whether [offset, end) may hold data. Offsets must not go down.
  bool may_hold_data(uint64_t offset, uint64_t end) {
    if (offset >= to_) find(offset);
    return from_ < end;
  }

 private:
  void find(uint64_t offset) {
    const off_t from = ::lseek(fd_, static_cast<off_t>(offset), SEEK_DATA);
    if (from < 0) {  // ENXIO: none beyond; anything else: the file system cannot tell, so read all of it
      from_ = errno == ENXIO ? size_ : offset;
      to_ = size_;
      return;
    }
    const off_t to = ::lseek(fd_, from, SEEK_HOLE);
    from_ = static_cast<uint64_t>(from);
    to_ = to < 0 ? size_ : static_cast<uint64_t>(to);
  }
  int fd_;
  uint64_t size_;
  uint64_t from_ = 0;
  uint64_t to_ = 0;
};

// Emits the records of one file; neighbouring zero ranges become one record.
class Emitter {
 public:
  Emitter(Pass& pass, uint16_t root) : pass_(pass), root_(root) {}

  Result<> data(uint64_t offset, const char* bytes, size_t size) {
    GODWIT_TRY(finish());
    if (size > pass_.bytes_left) return fail("the container's files exceed the limit on their total size");
    pass_.bytes_left -= size;
    pass_.stats.bytes_sent += size;
    pass_.out.begin(Record::data, root_);
    pass_.out.put_u64(offset);
    pass_.out.put_raw(bytes, size);
    return pass_.out.end();
  }
  Result<> zero(uint64_t offset, uint64_t size) {
    if (zero_size_ > 0 && zero_offset_ + zero_size_ == offset) {
      zero_size_ += size;
      return {};
    }
    GODWIT_TRY(finish());
    zero_offset_ = offset;
    zero_size_ = size;
    return {};
  }
  Result<> finish() {
    if (zero_size_ == 0) return {};
    pass_.out.begin(Record::zero, root_);
    pass_.out.put_u64(zero_offset_);
    pass_.out.put_u64(std::exchange(zero_size_, 0));
    return pass_.out.end();
  }

 private:
  Pass& pass_;
  uint16_t root_;
  uint64_t zero_offset_ = 0;
  uint64_t zero_size_ = 0;
};

// The destination reads zeros here: send the pages that are not.
Result<> send_over_zeros(Emitter& emit, uint64_t offset, const char* data, size_t size) {
  for (size_t at = 0; at < size;) {
    const auto page_is_zero = [&](size_t page) {
      return without_trailing_zeros(data + page, std::min(kPageBytes, size - page)) == 0;
    };
    while (at < size && page_is_zero(at)) at += kPageBytes;
    size_t end = at;
    while (end < size && !page_is_zero(end)) end += kPageBytes;
    end = std::min(end, size);
    if (end > at) GODWIT_TRY(emit.data(offset + at, data + at, end - at));
    at = end;
  }
  return {};
}

Result<size_t> read_block(int fd, uint64_t offset, char* data, size_t size) {
  size_t filled = 0;
  while (filled < size) {
    const ssize_t got = ::pread(fd, data + filled, size - filled, static_cast<off_t>(offset + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("read at {}", offset + filled);
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  return filled;
}

uint64_t stored_hash(const Inode& inode, uint64_t block) {
  if (block == 0) return inode.first_hash;
  return inode.hashes && block - 1 < inode.hashes->size() ? (*inode.hashes)[block - 1] : 0;
}

void store_hash(Inode& inode, uint64_t block, uint64_t hash) {
  if (block == 0) {
    inode.first_hash = hash;
  } else {
    (*inode.hashes)[block - 1] = hash;
  }
}

// Makes room for the hashes of `blocks` blocks; hashes beyond the file's new end are forgotten with the content.
void resize_hashes(Inode& inode, uint64_t blocks) {
  if (blocks == 0) inode.first_hash = 0;
  if (blocks <= 1) {
    inode.hashes.reset();
    return;
  }
  if (!inode.hashes) inode.hashes = std::make_unique<std::vector<uint64_t>>();
  inode.hashes->resize(blocks - 1);
}

}  // namespace

uint64_t block_hash(const char* data, size_t size) {
  const size_t used = without_trailing_zeros(data, size);
  if (used == 0) return 0;
  const uint64_t hash = XXH3_64bits(data, used);
  return hash == 0 ? 1 : hash;
}

Result<uint64_t> send_content(int fd, uint64_t size, bool fresh, uint16_t root, Inode& inode, Pass& pass,
                              std::vector<char>& buffer) {
  const bool keep_hashes = size <= kHashedFileBytesMax;
  const bool known = fresh || inode.hashed;  // what the destination has
  const uint64_t blocks = (size + kBlockBytes - 1) / kBlockBytes;
  if (fresh) resize_hashes(inode, 0);
  resize_hashes(inode, keep_hashes ? blocks : 0);
  inode.hashed = false;  // until the end is reached
  buffer.resize(kBlockBytes);
  DataMap map(fd, size);
  Emitter emit(pass, root);
  for (uint64_t block = 0; block < blocks; ++block) {
    if (block % kDeadlineCheckBlocks == 0 && pass.deadline.expired()) return fail("the deadline has passed");
    const uint64_t offset = block * kBlockBytes;
    const size_t wanted = std::min<uint64_t>(kBlockBytes, size - offset);
    size_t got = wanted;
    uint64_t hash = 0;
    if (map.may_hold_data(offset, offset + wanted)) {
      GODWIT_ASSIGN(got, read_block(fd, offset, buffer.data(), wanted));
      hash = block_hash(buffer.data(), got);
      pass.stats.bytes_read += got;
    }
    const uint64_t before = known ? stored_hash(inode, block) : 0;
    if (hash == 0) {
      if (!known || before != 0) GODWIT_TRY(emit.zero(offset, wanted));
    } else if (known && before == 0) {
      GODWIT_TRY(send_over_zeros(emit, offset, buffer.data(), got));
    } else if (!known || before != hash) {
      GODWIT_TRY(emit.data(offset, buffer.data(), got));
    }
    if (keep_hashes) store_hash(inode, block, hash);
    if (got < wanted) {  // it shrinks while being read: an event for the next pass
      size = offset + got;
      if (keep_hashes) resize_hashes(inode, (size + kBlockBytes - 1) / kBlockBytes);
      break;
    }
  }
  GODWIT_TRY(emit.finish());
  inode.hashed = keep_hashes;
  return size;
}

}  // namespace godwit::files
