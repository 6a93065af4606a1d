#include "memory/page_arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <ctime>

#include "memory/page_sink.h"

namespace godwit::memory {
namespace {

constexpr size_t chunk_bytes = PageArena::chunk_pages * page_size_bytes;
constexpr uint32_t grow_chunks = 32;
constexpr uint32_t reserve_chunks_min = 512;
// Some chunks, because the whole price of a huge page is paid by who touches it first.
constexpr double price_half_life_pages = 16 * PageArena::chunk_pages;
// Fewer at a time pay more for the system call than for the memory.
constexpr uint32_t priced_pages_min = 32;
// One chunk in so many, 128 MiB, is of the dearer kind; the second one first.
constexpr uint32_t trial_interval_chunks = 64;

// The processor's, so that waiting for one does not count.
double thread_time_ns() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

// Addresses are cheap, but not endless everywhere: eight times the machine's memory holds any container that fits, even
// one that uses only every eighth page.
uint32_t chunks_wanted() {
  const auto memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(getpagesize());
  return static_cast<uint32_t>(std::clamp<uint64_t>(memory_bytes * 8 / chunk_bytes, 16'384, uint64_t{1} << 23));
}

}  // namespace

Result<PageArena::Region> PageArena::reserve(int advice) {
  Region region;
  for (uint32_t chunks = chunks_wanted(); chunks >= reserve_chunks_min; chunks /= 2) {
    const size_t bytes = (chunks + size_t{1}) * chunk_bytes;
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) continue;
    region.reserved = memory;
    region.reserved_bytes = bytes;
    region.chunks_max = chunks;
    break;
  }
  if (region.reserved == nullptr) return fail_errno("cannot reserve addresses for the page store");
  const auto start = reinterpret_cast<uintptr_t>(region.reserved);
  region.base = static_cast<std::byte*>(region.reserved) + (chunk_bytes - start % chunk_bytes) % chunk_bytes;
  // Memory of somebody else's program: in no core dump, in no child. A kernel without huge pages refuses the advice,
  // which changes nothing else.
  madvise(region.reserved, region.reserved_bytes, MADV_DONTDUMP);
  madvise(region.reserved, region.reserved_bytes, MADV_DONTFORK);
  madvise(region.reserved, region.reserved_bytes, advice);
  return region;
}

Result<std::unique_ptr<PageArena>> PageArena::create() {
  std::unique_ptr<PageArena> arena(new PageArena());
  GODWIT_ASSIGN(arena->small_, reserve(MADV_NOHUGEPAGE));
  GODWIT_ASSIGN(arena->huge_, reserve(MADV_HUGEPAGE));
  return arena;
}

PageArena::~PageArena() {
  for (const Region* region : {&small_, &huge_}) {
    if (region->reserved != nullptr) munmap(region->reserved, region->reserved_bytes);
  }
}

Result<> PageArena::grow(Region& region) {
  const uint32_t chunks = std::min(grow_chunks, region.chunks_max - region.chunks_usable);
  if (chunks == 0) {
    return fail("the page store has no addresses left: the container's memory is scattered over more than {} GiB",
                region.chunks_max / 512);
  }
  if (mprotect(region.base + region.chunks_usable * chunk_bytes, chunks * chunk_bytes, PROT_READ | PROT_WRITE) != 0) {
    return fail_errno("cannot grow the page store by {} MiB", chunks * 2);
  }
  region.chunks_usable += chunks;
  return {};
}

Result<uint32_t> PageArena::allocate(bool huge) {
  const std::lock_guard lock(mutex_);
  Region& region = huge ? huge_ : small_;
  uint32_t chunk = 0;
  if (!region.free.empty()) {
    chunk = region.free.back();
    region.free.pop_back();
  } else {
    if (region.chunks_used == region.chunks_usable) GODWIT_TRY(grow(region));
    chunk = region.chunks_used++;
  }
  return huge ? chunk | huge_base : chunk;
}

void PageArena::free(uint32_t chunk) {
  punch(chunk, 0, chunk_pages);
  const std::lock_guard lock(mutex_);
  (is_huge(chunk) ? huge_ : small_).free.push_back(chunk & ~huge_base);
}

std::byte* PageArena::page(uint32_t chunk, uint32_t first) const {
  const Region& region = is_huge(chunk) ? huge_ : small_;
  return region.base + (chunk & ~huge_base) * chunk_bytes + first * page_size_bytes;
}

Result<> PageArena::populate(uint32_t chunk, uint32_t first, uint32_t pages) {
  std::unique_lock<std::mutex> alone;
  if (is_huge(chunk)) alone = std::unique_lock(huge_mutexes_[chunk % huge_mutexes_.size()]);
  const double began_ns = thread_time_ns();
  if (madvise(page(chunk, first), pages * page_size_bytes, MADV_POPULATE_WRITE) != 0) {
    return fail_errno("no memory for the page store");
  }
  const double took_ns = thread_time_ns() - began_ns;
  const std::lock_guard lock(mutex_);
  if (is_huge(chunk)) {
    huge_price_.add(took_ns, pages);
  } else if (pages >= priced_pages_min) {
    small_price_.add(took_ns, pages);
  }
  return {};
}

void PageArena::Price::add(double some_ns, uint32_t some_pages) {
  const double kept = std::exp2(-static_cast<double>(some_pages) / price_half_life_pages);
  ns = ns * kept + some_ns;
  pages = pages * kept + some_pages;
}

bool PageArena::prefer_huge() {
  const std::lock_guard lock(mutex_);
  const bool cheaper = huge_price_.ns_per_page() <= small_price_.ns_per_page() || small_price_.pages == 0;
  const bool trial = ++choices_ % trial_interval_chunks == 2;
  return cheaper != trial;
}

void PageArena::punch(uint32_t chunk, uint32_t first, uint32_t pages) const {
  madvise(page(chunk, first), pages * page_size_bytes, MADV_DONTNEED);
}

void PageArena::split(uint32_t chunk) const {
  // Advice for a part of a huge page makes the kernel split it there and then. MADV_DONTNEED alone would only note
  // that it could be split one day, and keep all of its memory.
  madvise(page(chunk, 0), page_size_bytes, MADV_COLD);
}

}  // namespace godwit::memory
