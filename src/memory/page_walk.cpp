#include "memory/page_walk.h"

#include <algorithm>
#include <span>

namespace godwit::memory {
namespace {

// Bits of an entry of /proc/PID/pagemap.
constexpr uint64_t entry_soft_dirty = uint64_t{1} << 55;
constexpr uint64_t entry_guard = uint64_t{1} << 58;
constexpr uint64_t entry_file = uint64_t{1} << 61;
constexpr uint64_t entry_swapped = uint64_t{1} << 62;
constexpr uint64_t entry_present = uint64_t{1} << 63;

}  // namespace

bool holds_private_pages(const os::Vma& vma) {
  return !vma.shared && !vma.from_kernel();
}

Result<PageWalk> PageWalk::open(pid_t pid) {
  GODWIT_ASSIGN(os::Pagemap pagemap, os::Pagemap::open(pid));
  return PageWalk(std::move(pagemap));
}

Result<> PageWalk::walk(const os::Vma& vma, WalkMode mode, uint64_t& at, const Visit& visit) {
  if (!os::pagemap_ability().scan) return walk_entries(vma, at, visit);
  // A mapping with a file behind it holds pages of the file, and, where a tracked page of the process's own was
  // dropped, a mark that looks like a swapped page with nothing written. Such a page must not count as unchanged: what
  // is swapped there is taken as written.
  const bool file = vma.inode != 0;
  const uint64_t unwanted =
      os::page_zero | (file ? os::page_of_file : 0) | (os::pagemap_ability().guard ? os::page_guard : 0);
  const uint64_t written = mode.soft_dirty ? os::page_soft_dirty : os::page_written | (file ? os::page_swapped : 0);
  const os::PageQuery query{.all_of = unwanted,
                            .any_of = os::page_present | os::page_swapped,
                            .inverted = unwanted,
                            .returned = written,
                            .protect = mode.protect,
                            .require_write_track = mode.require_track};
  while (at < vma.end) {
    uint64_t walked_to = 0;
    GODWIT_ASSIGN(const size_t found, pagemap_.scan(query, at, vma.end, regions_, walked_to));
    for (const os::PageRegion& region : std::span(regions_).first(found)) {
      visit(region.start, region.end, (region.categories & written) != 0);
    }
    if (walked_to <= at) return fail("the page map scan stands still at {:x}", at);
    at = walked_to;
  }
  return {};
}

Result<> PageWalk::walk_unprotected(const os::Vma& vma, const Visit& visit) {
  // Exactly these fields: they are what the kernel has a short way for (pagemap_scan_pmd_entry() in
  // fs/proc/task_mmu.c).
  const os::PageQuery query{.all_of = os::page_written, .returned = os::page_written, .require_write_track = true};
  for (uint64_t at = vma.start; at < vma.end;) {
    uint64_t walked_to = 0;
    GODWIT_ASSIGN(const size_t found, pagemap_.scan(query, at, vma.end, regions_, walked_to));
    for (const os::PageRegion& region : std::span(regions_).first(found)) visit(region.start, region.end, true);
    if (walked_to <= at) return fail("the page map scan stands still at {:x}", at);
    at = walked_to;
  }
  return {};
}

Result<bool> PageWalk::has_page(uint64_t address) const {
  uint64_t entry = 0;
  GODWIT_TRY(pagemap_.read_entries(address, {&entry, 1}));
  return (entry & (entry_present | entry_swapped)) != 0;
}

Result<> PageWalk::walk_entries(const os::Vma& vma, uint64_t& at, const Visit& visit) {
  constexpr uint64_t entries_per_read = 32768;
  while (at < vma.end) {
    const uint64_t pages = std::min(entries_per_read, (vma.end - at) / os::page_bytes);
    entries_.resize(pages);
    GODWIT_TRY(pagemap_.read_entries(at, entries_));
    for (uint64_t i = 0; i < pages;) {
      const auto own = [&](uint64_t entry) {
        return (entry & (entry_present | entry_swapped)) != 0 && (entry & (entry_file | entry_guard)) == 0;
      };
      if (!own(entries_[i])) {
        ++i;
        continue;
      }
      const uint64_t first = i;
      const bool written = (entries_[first] & entry_soft_dirty) != 0;
      while (i < pages && own(entries_[i]) && ((entries_[i] & entry_soft_dirty) != 0) == written) ++i;
      visit(at + first * os::page_bytes, at + i * os::page_bytes, written);
    }
    at += pages * os::page_bytes;
  }
  return {};
}

}  // namespace godwit::memory
