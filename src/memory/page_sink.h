// Where received pages go. The transfer room's lanes write into it, the memory room's page store implements it; this
// interface is all that they know of each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"

namespace godwit::memory {

constexpr size_t page_size_bytes = 4096;

// `process` is the index that the two workers agreed on for a process of the container (or one of its shared memory
// objects), never a pid. Addresses are multiples of the page size, page counts are at least 1 and address + size does
// not overflow: the lanes have checked that. Whether such a process and such addresses exist is for the sink to check.
//
// Called from several lane threads at once, never for overlapping ranges at the same time: the source separates rounds
// by a barrier and names a page once a round. An error ends the transfer.
class PageSink {
 public:
  virtual ~PageSink() = default;

  // Memory to receive the pages from `address` on into: writable until the next call for the same range. May be
  // shorter than asked, a whole number of pages and at least one; then it is asked again for the rest. The pages count
  // as present from this call on, although their contents follow: nobody may look at them before the next barrier.
  virtual Result<std::span<std::byte>> place(uint32_t process, uint64_t address, uint32_t pages) = 0;
  // The pages are all zero.
  virtual Result<> zero(uint32_t process, uint64_t address, uint32_t pages) = 0;
  // The pages are no longer mapped there; whatever is held of them is void.
  virtual Result<> drop(uint32_t process, uint64_t address, uint32_t pages) = 0;
};

}  // namespace godwit::memory
