// /proc/PID/pagemap: which pages of a process are there, and which were written since they were write-protected.
// See Documentation/admin-guide/mm/pagemap.rst (PAGEMAP_SCAN is in Linux since 6.7).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::os {

// Categories of a page (PAGE_IS_* of linux/fs.h; Debian 12's headers are too old to have them).
enum PageCategory : uint64_t {
  page_write_tracked = 1 << 0,
  page_written = 1 << 1,
  page_of_file = 1 << 2,
  page_present = 1 << 3,
  page_swapped = 1 << 4,
  page_zero = 1 << 5,
  page_huge = 1 << 6,
  page_soft_dirty = 1 << 7,
  page_guard = 1 << 8,
};

// What one scan asks for: pages whose categories, after flipping those in `inverted`, contain all of `all_of` and, if
// that is not 0, any of `any_of`.
struct PageQuery {
  uint64_t all_of = 0;
  uint64_t any_of = 0;
  uint64_t inverted = 0;
  uint64_t returned = 0;             // the categories to be told, and to tell runs apart by
  bool protect = false;              // write-protect again what matched and was written, in the same atomic step
  bool require_write_track = false;  // EPERM when a mapping in the range is not tracked
};

// Laid out as the kernel's struct page_region.
struct PageRegion {
  uint64_t start = 0;
  uint64_t end = 0;
  uint64_t categories = 0;
};

// An open /proc/PID/pagemap. It stays with the address space that it was opened for: after an exec it sees nothing,
// so it is opened anew for every scan. Used by one thread at a time.
class Pagemap {
 public:
  static constexpr size_t regions_per_call = 4096;

  static Result<Pagemap> open(pid_t pid);

  // Scans from `start`; fills at most regions.size() regions and returns how many; `walked_to` says how far it came
  // (== end: done). Errors keep their errno: EPERM for require_write_track, EINVAL for a category that this kernel does
  // not know, ENOTTY for a kernel without PAGEMAP_SCAN.
  [[nodiscard]] Result<size_t> scan(const PageQuery& query, uint64_t start, uint64_t end, std::span<PageRegion> regions,
                                    uint64_t& walked_to) const;

  // The plain 64-bit entries of consecutive pages from `start`, for kernels without PAGEMAP_SCAN.
  [[nodiscard]] Result<> read_entries(uint64_t start, std::span<uint64_t> entries) const;

 private:
  explicit Pagemap(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// What the running kernel can do, asked of our own process once.
struct PagemapAbility {
  bool scan = false;   // PAGEMAP_SCAN is there
  bool guard = false;  // it knows page_guard
};
const PagemapAbility& pagemap_ability();

inline constexpr uint64_t page_bytes = 4096;

}  // namespace godwit::os
