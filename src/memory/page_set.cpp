#include "memory/page_set.h"

#include <algorithm>

namespace godwit::memory {

namespace {

// Of the 64 pages of word `word` of a block, those whose numbers in the block are in [from, to).
uint64_t bits_between(size_t word, uint64_t from, uint64_t to) {
  const auto below = [&](uint64_t page) {
    const uint64_t first = word * 64;
    if (page <= first) return uint64_t{0};
    return page - first >= 64 ? ~uint64_t{0} : (uint64_t{1} << (page - first)) - 1;
  };
  return below(to) & ~below(from);
}

}  // namespace

void PageSet::insert(uint64_t address, uint64_t pages) {
  uint64_t page = address >> page_shift;
  const uint64_t end = page + pages;
  while (page < end) {
    const uint64_t number = page / pages_per_block;
    const uint64_t from = page % pages_per_block;
    const uint64_t to = std::min(pages_per_block, from + (end - page));
    // Scans go upwards: the end is the right place most of the time.
    Block& block = blocks_.try_emplace(blocks_.end(), number)->second;
    for (uint64_t bit = from; bit < to;) {
      const uint64_t in_word = std::min<uint64_t>(64 - (bit % 64), to - bit);
      const uint64_t mask = in_word == 64 ? ~uint64_t{0} : ((uint64_t{1} << in_word) - 1) << (bit % 64);
      block[bit / 64] |= mask;
      bit += in_word;
    }
    page += to - from;
  }
}

void PageSet::insert(const PageSet& other) {
  for (const auto& [number, block] : other.blocks_) {
    Block& mine = blocks_.try_emplace(blocks_.end(), number)->second;
    for (size_t i = 0; i < block.size(); ++i) mine[i] |= block[i];
  }
}

void PageSet::insert(const PageSet& other, uint64_t start, uint64_t end) {
  const auto last = other.blocks_.lower_bound(((end >> page_shift) + pages_per_block - 1) / pages_per_block);
  for (auto block = other.blocks_.lower_bound((start >> page_shift) / pages_per_block); block != last; ++block) {
    const uint64_t block_start = (block->first * pages_per_block) << page_shift;
    const uint64_t from = (std::max(start, block_start) - block_start) >> page_shift;
    const uint64_t to = std::min(pages_per_block, (end - block_start) >> page_shift);
    Block theirs = block->second;
    uint64_t any = 0;
    for (size_t i = 0; i < theirs.size(); ++i) any |= theirs[i] &= bits_between(i, from, to);
    if (any == 0) continue;
    Block& mine = blocks_.try_emplace(blocks_.end(), block->first)->second;
    for (size_t i = 0; i < mine.size(); ++i) mine[i] |= theirs[i];
  }
}

std::optional<uint64_t> PageSet::first(uint64_t start, uint64_t end) const {
  for (auto block = blocks_.lower_bound((start >> page_shift) / pages_per_block); block != blocks_.end(); ++block) {
    const uint64_t block_start = (block->first * pages_per_block) << page_shift;
    const uint64_t from = start > block_start ? (start - block_start) >> page_shift : 0;
    const uint64_t found = block_start + (next(block->second, from, true) << page_shift);
    if (block_start >= end || (found < block_start + block_bytes && found >= end)) return std::nullopt;
    if (found < block_start + block_bytes) return found;
  }
  return std::nullopt;
}

void PageSet::intersect(const PageSet& other) {
  for (auto entry = blocks_.begin(); entry != blocks_.end();) {
    const auto theirs = other.blocks_.find(entry->first);
    uint64_t any = 0;
    for (size_t i = 0; theirs != other.blocks_.end() && i < entry->second.size(); ++i) {
      any |= entry->second[i] &= theirs->second[i];
    }
    entry = any == 0 ? blocks_.erase(entry) : std::next(entry);
  }
}

bool PageSet::contains(uint64_t address) const {
  const uint64_t page = address >> page_shift;
  const auto block = blocks_.find(page / pages_per_block);
  if (block == blocks_.end()) return false;
  const uint64_t bit = page % pages_per_block;
  return ((block->second[bit / 64] >> (bit % 64)) & 1) != 0;
}

uint64_t PageSet::count() const {
  uint64_t pages = 0;
  for (const auto& [number, block] : blocks_) {
    for (const uint64_t word : block) pages += static_cast<uint64_t>(std::popcount(word));
  }
  return pages;
}

PageSet PageSet::difference(const PageSet& a, const PageSet& b) {
  PageSet result;
  for (const auto& [number, block] : a.blocks_) {
    const auto theirs = b.blocks_.find(number);
    Block left = block;
    if (theirs != b.blocks_.end()) {
      for (size_t i = 0; i < left.size(); ++i) left[i] &= ~theirs->second[i];
    }
    if (std::ranges::any_of(left, [](uint64_t word) { return word != 0; })) {
      result.blocks_.emplace_hint(result.blocks_.end(), number, left);
    }
  }
  return result;
}

}  // namespace godwit::memory
