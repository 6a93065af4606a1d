// A set of pages of one address space, sparse: 2 MiB of addresses that hold any take 64 bytes and an index entry.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <optional>

#include "base/result.h"

namespace godwit::memory {

// Not safe for use by several threads.
class PageSet {
 public:
  static constexpr uint64_t page_shift = 12;
  static constexpr uint64_t pages_per_block = 512;
  static constexpr uint64_t block_bytes = pages_per_block << page_shift;

  // Pages from `address` on.
  void insert(uint64_t address, uint64_t pages);
  void insert(const PageSet& other);
  // The pages of `other` between two addresses.
  void insert(const PageSet& other, uint64_t start, uint64_t end);
  // The address of its first page between two addresses.
  [[nodiscard]] std::optional<uint64_t> first(uint64_t start, uint64_t end) const;
  // Removes what is not in `other`.
  void intersect(const PageSet& other);
  [[nodiscard]] bool contains(uint64_t address) const;
  [[nodiscard]] uint64_t count() const;
  [[nodiscard]] bool empty() const { return blocks_.empty(); }
  void clear() { blocks_.clear(); }
  void swap(PageSet& other) noexcept { blocks_.swap(other.blocks_); }

  // Calls `function(address, pages) -> Result<>` for each run of consecutive pages, in ascending order; stops at the
  // first error.
  template <typename Function>
  Result<> for_each_run(Function&& function) const {
    uint64_t run_start = 0;
    uint64_t run_pages = 0;
    for (const auto& [number, block] : blocks_) {
      for (uint64_t bit = 0; bit < pages_per_block;) {
        const uint64_t from = next(block, bit, true);
        if (from == pages_per_block) break;
        const uint64_t to = next(block, from, false);
        const uint64_t page = number * pages_per_block + from;
        if (run_pages > 0 && run_start + run_pages == page) {
          run_pages += to - from;
        } else {
          if (run_pages > 0) GODWIT_TRY(function(run_start << page_shift, run_pages));
          run_start = page;
          run_pages = to - from;
        }
        bit = to;
      }
    }
    if (run_pages > 0) GODWIT_TRY(function(run_start << page_shift, run_pages));
    return {};
  }

  // Pages of `a` that are not in `b`.
  static PageSet difference(const PageSet& a, const PageSet& b);

 private:
  using Block = std::array<uint64_t, pages_per_block / 64>;

  // The first bit at or after `from` that is `set` or not; pages_per_block if there is none.
  static uint64_t next(const Block& block, uint64_t from, bool set) {
    for (uint64_t bit = from; bit < pages_per_block; bit = (bit | 63) + 1) {
      const uint64_t word = (set ? block[bit / 64] : ~block[bit / 64]) >> (bit % 64);
      if (word != 0) return bit + static_cast<uint64_t>(std::countr_zero(word));
    }
    return pages_per_block;
  }

  std::map<uint64_t, Block> blocks_;  // by page number / pages_per_block; none is all zero
};

}  // namespace godwit::memory
