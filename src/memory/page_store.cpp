#include "memory/page_store.h"

#include <algorithm>
#include <utility>

namespace godwit::memory {
namespace {

constexpr uint32_t leaf_pages = PageArena::chunk_pages;
constexpr uint64_t leaf_bytes = leaf_pages * page_size_bytes;
// A run this long into an empty 2 MiB is taken as the beginning of a full one, and gets a huge page.
constexpr uint32_t huge_run_pages = 64;
// How much of a huge page may stay unused; keeps the store within 5 % of what it holds.
constexpr uint32_t huge_unused_pages_max = 20;
// Bounds the index: 2 TiB of touched addresses.
constexpr uint64_t leaves_max = 1 << 20;
// Rounds are remembered as a byte.
constexpr uint32_t round_mark_max = UINT8_MAX;

uint64_t leaf_number(uint64_t address) {
  return address / leaf_bytes;
}

uint32_t page_in_leaf(uint64_t address) {
  return static_cast<uint32_t>(address % leaf_bytes / page_size_bytes);
}

}  // namespace

// What is known of 2 MiB of addresses.
struct PageStore::Leaf {
  uint32_t chunk = PageArena::no_chunk;
  uint16_t data_pages = 0;
  uint16_t zero_pages = 0;
  bool huge = false;  // the chunk is backed by one huge page: all 512 pages count as resident
  uint8_t round_max = 0;
  ChunkPages data;
  ChunkPages zero;
  std::unique_ptr<std::array<uint8_t, leaf_pages>> rounds;  // when each data page was placed; with the chunk

  [[nodiscard]] uint32_t resident_pages() const { return huge ? leaf_pages : data_pages; }
  [[nodiscard]] bool empty() const { return data_pages == 0 && zero_pages == 0; }
  [[nodiscard]] bool placed_since(uint32_t page, uint32_t round_min) const {
    return round_min == 0 || (*rounds)[page] >= std::min(round_min, round_mark_max);
  }
};

struct PageStore::Process {
  mutable std::mutex mutex;
  std::map<uint64_t, Leaf> leaves;  // by address / 2 MiB
};

PageStore::PageStore(const PageStoreOptions& options, std::unique_ptr<PageArena> arena)
    : options_(options), arena_(std::move(arena)) {}

PageStore::~PageStore() = default;

Result<std::unique_ptr<PageStore>> PageStore::create(const PageStoreOptions& options) {
  GODWIT_ASSIGN(auto arena, PageArena::create());
  return std::unique_ptr<PageStore>(new PageStore(options, std::move(arena)));
}

std::shared_ptr<PageStore::Process> PageStore::find(uint32_t process) const {
  const std::shared_lock lock(processes_mutex_);
  const auto it = processes_.find(process);
  return it == processes_.end() ? nullptr : it->second;
}

std::shared_ptr<PageStore::Process> PageStore::find_or_add(uint32_t process) {
  if (auto found = find(process)) return found;
  const std::unique_lock lock(processes_mutex_);
  auto& entry = processes_[process];
  if (entry == nullptr) entry = std::make_shared<Process>();
  return entry;
}

void PageStore::begin_round(uint32_t round) {
  split_unfilled();
  round_.store(round, std::memory_order_relaxed);
}

// --- what arrives ---

Result<PageStore::Leaf*> PageStore::leaf_for(Process& process, uint64_t address) {
  const auto [it, added] = process.leaves.try_emplace(leaf_number(address));
  if (added && leaves_.fetch_add(1, std::memory_order_relaxed) >= leaves_max) {
    process.leaves.erase(it);
    leaves_.fetch_sub(1, std::memory_order_relaxed);
    return fail("the container's memory is scattered over more than {} GiB of addresses", leaves_max / 512);
  }
  return &it->second;
}

Result<> PageStore::reserve(uint64_t pages) {
  const uint64_t now = resident_pages_.fetch_add(pages, std::memory_order_relaxed) + pages;
  if (options_.limit_bytes != 0 && now * page_size_bytes > options_.limit_bytes) {
    resident_pages_.fetch_sub(pages, std::memory_order_relaxed);
    return std::unexpected(
        Error{fmt::format("the page store is full: the container needs more than its limit of {} MiB; raise the limit",
                          options_.limit_bytes >> 20),
              ENOSPC});
  }
  uint64_t peak = resident_pages_peak_.load(std::memory_order_relaxed);
  while (now > peak && !resident_pages_peak_.compare_exchange_weak(peak, now, std::memory_order_relaxed)) {
  }
  return {};
}

Result<> PageStore::take_chunk(Leaf& leaf, bool huge) {
  if (huge) GODWIT_TRY(reserve(leaf_pages));
  auto chunk = arena_->allocate(huge);
  if (!chunk) {
    if (huge) resident_pages_.fetch_sub(leaf_pages, std::memory_order_relaxed);
    return std::unexpected(std::move(chunk).error());
  }
  leaf.chunk = *chunk;
  leaf.huge = huge;
  leaf.rounds = std::make_unique<std::array<uint8_t, leaf_pages>>();
  leaf.round_max = 0;
  return {};
}

// Marks the pages as data and reserves memory for them. Returns how many had none.
Result<uint32_t> PageStore::mark_data(Leaf& leaf, uint32_t first, uint32_t pages) {
  uint32_t added = 0;
  for (uint32_t page = first; page < first + pages; ++page) added += leaf.data[page] ? 0 : 1;
  if (leaf.chunk == PageArena::no_chunk) {
    // The bet on a full huge page is off when the limit is near.
    const bool huge = pages >= huge_run_pages && arena_->prefer_huge() && take_chunk(leaf, true).has_value();
    if (!huge) GODWIT_TRY(take_chunk(leaf, false));
  }
  if (!leaf.huge) GODWIT_TRY(reserve(added));
  const auto mark = static_cast<uint8_t>(std::min(last_round(), round_mark_max));
  for (uint32_t page = first; page < first + pages; ++page) {
    leaf.data.set(page);
    if (leaf.zero[page]) {
      leaf.zero.reset(page);
      --leaf.zero_pages;
      zero_pages_.fetch_sub(1, std::memory_order_relaxed);
    }
    (*leaf.rounds)[page] = mark;
  }
  leaf.round_max = std::max(leaf.round_max, mark);
  leaf.data_pages = static_cast<uint16_t>(leaf.data_pages + added);
  data_pages_.fetch_add(added, std::memory_order_relaxed);
  return added;
}

Result<std::span<std::byte>> PageStore::place(uint32_t process, uint64_t address, uint32_t pages) {
  const uint32_t first = page_in_leaf(address);
  const uint32_t count = std::min(pages, leaf_pages - first);
  const auto owner = find_or_add(process);
  uint32_t chunk = 0;
  Result<uint32_t> added;
  for (int attempt = 0; attempt < 2; ++attempt) {
    // At the limit, what huge pages hold beyond their contents makes room.
    if (attempt == 1) split_unfilled();
    const std::lock_guard lock(owner->mutex);
    GODWIT_ASSIGN(Leaf * leaf, leaf_for(*owner, address));
    added = mark_data(*leaf, first, count);
    chunk = leaf->chunk;
    if (added || added.error().code != ENOSPC) break;
  }
  if (!added) return std::unexpected(std::move(added).error());
  // Outside the lock: the lanes get their memory in parallel.
  if (*added > 0) GODWIT_TRY(arena_->populate(chunk, first, count));
  return std::span(arena_->page(chunk, first), count * page_size_bytes);
}

Result<> PageStore::zero(uint32_t process, uint64_t address, uint32_t pages) {
  const auto owner = find_or_add(process);
  const std::lock_guard lock(owner->mutex);
  const uint64_t end = address + uint64_t{pages} * page_size_bytes;
  while (address < end) {
    const uint32_t first = page_in_leaf(address);
    const auto count = static_cast<uint32_t>(std::min<uint64_t>((end - address) / page_size_bytes, leaf_pages - first));
    GODWIT_ASSIGN(Leaf * leaf, leaf_for(*owner, address));
    const uint32_t chunk = vacate(*leaf, first, count, Unused::split);
    if (chunk != PageArena::no_chunk) arena_->free(chunk);
    for (uint32_t page = first; page < first + count; ++page) leaf->zero.set(page);
    leaf->zero_pages = static_cast<uint16_t>(leaf->zero_pages + count);
    zero_pages_.fetch_add(count, std::memory_order_relaxed);
    address += count * page_size_bytes;
  }
  return {};
}

Result<> PageStore::drop(uint32_t process, uint64_t address, uint32_t pages) {
  remove(process, address, address + uint64_t{pages} * page_size_bytes, Unused::split);
  return {};
}

void PageStore::drop_process(uint32_t process) {
  remove(process, 0, UINT64_MAX, Unused::split);
  const std::unique_lock lock(processes_mutex_);
  processes_.erase(process);
}

void PageStore::release(uint32_t process, uint64_t address, uint64_t pages) {
  // A huge page is kept until all of it was handed over, which is soon: splitting it would only cost time.
  remove(process, address, address + pages * page_size_bytes, Unused::keep);
}

// --- what goes ---

// Makes the pages absent and gives their memory back. A chunk with nothing left in it is returned, for the caller to
// free.
uint32_t PageStore::vacate(Leaf& leaf, uint32_t first, uint32_t pages, Unused unused) {
  uint32_t zeros = 0;
  uint32_t data = 0;
  for (uint32_t page = first; page < first + pages; ++page) {
    zeros += leaf.zero[page] ? 1 : 0;
    data += leaf.data[page] ? 1 : 0;
    leaf.zero.reset(page);
    leaf.data.reset(page);
  }
  leaf.zero_pages = static_cast<uint16_t>(leaf.zero_pages - zeros);
  leaf.data_pages = static_cast<uint16_t>(leaf.data_pages - data);
  zero_pages_.fetch_sub(zeros, std::memory_order_relaxed);
  data_pages_.fetch_sub(data, std::memory_order_relaxed);
  if (!leaf.huge) resident_pages_.fetch_sub(data, std::memory_order_relaxed);
  if (leaf.chunk == PageArena::no_chunk) return PageArena::no_chunk;
  if (leaf.data_pages == 0) return take_empty_chunk(leaf);
  if (leaf.huge && unused == Unused::split) split(leaf);
  if (!leaf.huge && data > 0) arena_->punch(leaf.chunk, first, pages);
  return PageArena::no_chunk;
}

uint32_t PageStore::take_empty_chunk(Leaf& leaf) {
  if (leaf.huge) resident_pages_.fetch_sub(leaf_pages, std::memory_order_relaxed);
  leaf.huge = false;
  leaf.rounds.reset();
  leaf.round_max = 0;
  return std::exchange(leaf.chunk, PageArena::no_chunk);
}

// A huge page that holds too little becomes ordinary pages, and keeps only what it holds.
void PageStore::split(Leaf& leaf) {
  if (!leaf.huge || leaf_pages - leaf.data_pages <= huge_unused_pages_max) return;
  arena_->split(leaf.chunk);
  uint32_t unused = 0;  // pages before `page` that hold nothing, in a row
  for (uint32_t page = 0; page <= leaf_pages; ++page) {
    if (page < leaf_pages && !leaf.data[page]) {
      ++unused;
    } else if (unused > 0) {
      arena_->punch(leaf.chunk, page - unused, unused);
      unused = 0;
    }
  }
  leaf.huge = false;
  resident_pages_.fetch_sub(leaf_pages - leaf.data_pages, std::memory_order_relaxed);
}

void PageStore::split_unfilled() {
  const std::shared_lock lock(processes_mutex_);
  for (const auto& [index, process] : processes_) {
    const std::lock_guard process_lock(process->mutex);
    for (auto& [number, leaf] : process->leaves) split(leaf);
  }
}

void PageStore::remove(uint32_t process, uint64_t address, uint64_t end, Unused unused) {
  const auto owner = find(process);
  if (owner == nullptr) return;
  std::vector<uint32_t> chunks;
  {
    const std::lock_guard lock(owner->mutex);
    auto it = owner->leaves.lower_bound(leaf_number(address));
    while (it != owner->leaves.end() && it->first * leaf_bytes < end) {
      const uint64_t leaf_start = it->first * leaf_bytes;
      const uint32_t first = address > leaf_start ? page_in_leaf(address) : 0;
      const auto last = static_cast<uint32_t>(std::min((end - leaf_start) / page_size_bytes, uint64_t{leaf_pages}));
      const uint32_t chunk = vacate(it->second, first, last - first, unused);
      if (chunk != PageArena::no_chunk) chunks.push_back(chunk);
      if (!it->second.empty()) {
        ++it;
        continue;
      }
      it = owner->leaves.erase(it);
      leaves_.fetch_sub(1, std::memory_order_relaxed);
    }
  }
  // Whole chunks are freed outside the lock: a page fault may be waiting for it.
  for (const uint32_t chunk : chunks) arena_->free(chunk);
}

// --- looking at it ---

StoredRun PageStore::run_in_leaf(const Leaf& leaf, uint32_t first, uint32_t last, uint32_t round_min) const {
  const auto state_of = [&](uint32_t page) {
    if (leaf.data[page]) return leaf.placed_since(page, round_min) ? PageState::data : PageState::absent;
    return leaf.zero[page] && round_min == 0 ? PageState::zero : PageState::absent;
  };
  uint32_t page = first;
  while (page < last && state_of(page) == PageState::absent) ++page;
  if (page == last) return {};
  const PageState state = state_of(page);
  uint32_t end = page + 1;
  while (end < last && state_of(end) == state) ++end;
  return {.address = page * page_size_bytes,
          .pages = end - page,
          .state = state,
          .data = state == PageState::data ? arena_->page(leaf.chunk, page) : nullptr};
}

StoredRun PageStore::next_run(uint32_t process, uint64_t address, uint64_t end, uint32_t round_min) const {
  const auto owner = find(process);
  if (owner == nullptr) return {};
  const std::lock_guard lock(owner->mutex);
  for (auto it = owner->leaves.lower_bound(leaf_number(address)); it != owner->leaves.end(); ++it) {
    const uint64_t leaf_start = it->first * leaf_bytes;
    if (leaf_start >= end) break;
    if (it->second.round_max < std::min(round_min, round_mark_max)) continue;
    const uint32_t first = address > leaf_start ? page_in_leaf(address) : 0;
    const auto last = static_cast<uint32_t>(std::min((end - leaf_start) / page_size_bytes, uint64_t{leaf_pages}));
    StoredRun run = run_in_leaf(it->second, first, last, round_min);
    if (run.pages == 0) continue;
    run.address += leaf_start;
    return run;
  }
  return {};
}

PageState PageStore::state(uint32_t process, uint64_t address) const {
  const StoredRun run = next_run(process, address, address + page_size_bytes);
  return run.pages == 0 ? PageState::absent : run.state;
}

void PageStore::for_each_leaf(uint32_t process, const LeafFunction& function) const {
  const auto owner = find(process);
  if (owner == nullptr) return;
  const std::lock_guard lock(owner->mutex);
  for (const auto& [number, leaf] : owner->leaves) {
    if (leaf.data_pages > 0) function(number * leaf_bytes, leaf.data);
  }
}

uint64_t PageStore::stored_pages(uint32_t process) const {
  const auto owner = find(process);
  if (owner == nullptr) return 0;
  const std::lock_guard lock(owner->mutex);
  uint64_t pages = 0;
  for (const auto& [number, leaf] : owner->leaves) pages += leaf.data_pages + leaf.zero_pages;
  return pages;
}

std::vector<uint32_t> PageStore::processes() const {
  const std::shared_lock lock(processes_mutex_);
  std::vector<uint32_t> found;
  for (const auto& [index, process] : processes_) {
    const std::lock_guard process_lock(process->mutex);
    if (!process->leaves.empty()) found.push_back(index);
  }
  return found;
}

PageStoreStatistics PageStore::statistics() const {
  PageStoreStatistics result;
  result.data_pages = data_pages_.load(std::memory_order_relaxed);
  result.zero_pages = zero_pages_.load(std::memory_order_relaxed);
  result.resident_bytes = resident_pages_.load(std::memory_order_relaxed) * page_size_bytes;
  result.resident_peak_bytes = resident_pages_peak_.load(std::memory_order_relaxed) * page_size_bytes;
  // A node of std::map has four words besides its value; the marks of the rounds come with data.
  constexpr uint64_t bytes_per_leaf = sizeof(Leaf) + 5 * sizeof(uint64_t) + leaf_pages;
  result.index_bytes = leaves_.load(std::memory_order_relaxed) * bytes_per_leaf;
  return result;
}

}  // namespace godwit::memory
