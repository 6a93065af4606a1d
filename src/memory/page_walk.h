// Which pages of a process are its own: the pages that a migration has to copy.
//
// That is, in private mappings: anonymous pages, present or swapped out, also those that a private file mapping got by
// being written to. Not: pages that still are the file's (the destination has the file), pages never touched, the
// shared page of zeros, guard pages (MADV_GUARD_INSTALL), and what the kernel itself maps (vdso).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/result.h"
#include "os/pagemap.h"
#include "os/procfs.h"

namespace godwit::memory {

bool holds_private_pages(const os::Vma& vma);

struct WalkMode {
  bool protect = false;        // write-protect again what was written (os::PageQuery::protect)
  bool require_track = false;  // EPERM where writes are not tracked
  bool soft_dirty = false;     // "written" is the soft-dirty bit
};

// Walks page tables of one process, for one scan. Used by one thread.
class PageWalk {
 public:
  // `written` is only meaningful where writes are tracked.
  using Visit = std::function<void(uint64_t start, uint64_t end, bool written)>;

  static Result<PageWalk> open(pid_t pid);

  // Visits the process's own pages from `at` to the end of the mapping in ascending order, adjoining pages together.
  // `at` is moved along: on an error everything before it has been visited, and of the rest nothing, although some of
  // it may have been protected. Errors as of Pagemap::scan.
  Result<> walk(const os::Vma& vma, WalkMode mode, uint64_t& at, const Visit& visit);

  // Visits, in ascending order, what of a tracked anonymous mapping is not protected: pages written, dropped or come
  // since they were protected, and holes. Ten times as quick as walk(), as the kernel looks at nothing else. What has
  // no page table is not visited: a program that drops 2 MiB at once can make the kernel take the table away.
  Result<> walk_unprotected(const os::Vma& vma, const Visit& visit);
  // Whether the process has a page there, present or swapped out.
  [[nodiscard]] Result<bool> has_page(uint64_t address) const;

 private:
  explicit PageWalk(os::Pagemap pagemap) : pagemap_(std::move(pagemap)), regions_(os::Pagemap::regions_per_call) {}
  // For kernels without PAGEMAP_SCAN; `written` is always the soft-dirty bit.
  Result<> walk_entries(const os::Vma& vma, uint64_t& at, const Visit& visit);

  os::Pagemap pagemap_;
  std::vector<os::PageRegion> regions_;
  std::vector<uint64_t> entries_;
};

}  // namespace godwit::memory
