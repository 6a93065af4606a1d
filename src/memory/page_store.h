// The container's memory at the destination while it still runs at the source: pages arrive round by round from several
// lanes, and after the restore the pager and the eager writer hand them to the new processes.
//
// The store mirrors the address spaces sparsely. Every 2 MiB of a process's addresses that hold a page have a chunk of
// the arena (page_arena.h), and a page lies in the chunk where it lies in its 2 MiB. So there is no slot to look up a
// page by, a page that comes again overwrites itself, neighbours stay neighbours (one UFFDIO_COPY moves many), and
// what is given back is given back to the kernel at once. The index costs about 1.4 bytes a page.
//
// Contents never reach a disk by our doing, nor a core dump, and end with the process.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <vector>

#include "base/result.h"
#include "memory/page_arena.h"
#include "memory/page_sink.h"

namespace godwit::memory {

// Shared memory objects (SharedIdentity::index) are stored like processes, "addresses" being offsets into the object.
constexpr uint32_t shared_object_space = uint32_t{1} << 31;
constexpr uint32_t stored_object(uint32_t shared_index) {
  return shared_object_space | shared_index;
}

enum class PageState : uint8_t {
  absent,  // nothing is there: an anonymous page reads as zero, a page of a file mapping as the file
  zero,    // the contents are zero (differs from absent in a file mapping)
  data,
};

// Consecutive pages in the same state; `data` is where their contents lie, one after the other (null unless data).
struct StoredRun {
  uint64_t address = 0;
  uint64_t pages = 0;  // 0: there is none
  PageState state = PageState::absent;
  const std::byte* data = nullptr;
};

struct PageStoreOptions {
  uint64_t limit_bytes = 0;  // of page contents; 0: no limit but the machine's
};

struct PageStoreStatistics {
  uint64_t data_pages = 0;
  uint64_t zero_pages = 0;
  uint64_t resident_bytes = 0;       // memory that the contents take: data pages, and what huge pages hold beyond them
  uint64_t resident_peak_bytes = 0;  // the most it ever was
  uint64_t index_bytes = 0;          // what the index takes besides
};

// Owned by the destination worker. Every function may be called from any thread; what PageSink asks of its callers
// (no overlapping ranges at the same time, barriers between rounds) holds. Looking at contents and releasing them
// begins after the last barrier.
class PageStore final : public PageSink {
 public:
  static Result<std::unique_ptr<PageStore>> create(const PageStoreOptions& options);
  ~PageStore() override;
  PageStore(const PageStore&) = delete;
  PageStore& operator=(const PageStore&) = delete;

  // Between barriers: pages placed from now on are of this round (from 1), which is how the pager knows the hot ones.
  void begin_round(uint32_t round);

  Result<std::span<std::byte>> place(uint32_t process, uint64_t address, uint32_t pages) override;
  Result<> zero(uint32_t process, uint64_t address, uint32_t pages) override;
  Result<> drop(uint32_t process, uint64_t address, uint32_t pages) override;
  void drop_process(uint32_t process);

  // The first run of data or zero pages in [address, end): data pages only if they were placed in `round_min` or later.
  // A run ends where its 2 MiB end at the latest; ask again from its end on.
  StoredRun next_run(uint32_t process, uint64_t address, uint64_t end, uint32_t round_min = 0) const;
  PageState state(uint32_t process, uint64_t address) const;
  // The data pages of a process, 2 MiB by 2 MiB.
  using LeafFunction = std::function<void(uint64_t address, const ChunkPages& data)>;
  void for_each_leaf(uint32_t process, const LeafFunction& function) const;
  // Pages that are data or zero.
  uint64_t stored_pages(uint32_t process) const;
  // Those with pages in them, ascending; shared objects are at the end.
  std::vector<uint32_t> processes() const;
  uint32_t last_round() const { return round_.load(std::memory_order_relaxed); }

  // The pages were handed over: they become absent, and their memory goes back to the kernel.
  void release(uint32_t process, uint64_t address, uint64_t pages);

  PageStoreStatistics statistics() const;

 private:
  struct Leaf;
  struct Process;

  // What to do with the rest of a huge page that a part was taken from.
  enum class Unused : uint8_t { keep, split };

  PageStore(const PageStoreOptions& options, std::unique_ptr<PageArena> arena);
  std::shared_ptr<Process> find(uint32_t process) const;
  std::shared_ptr<Process> find_or_add(uint32_t process);
  // These are called with the process's mutex held.
  Result<Leaf*> leaf_for(Process& process, uint64_t address);
  Result<uint32_t> mark_data(Leaf& leaf, uint32_t first, uint32_t pages);
  Result<> take_chunk(Leaf& leaf, bool huge);
  uint32_t vacate(Leaf& leaf, uint32_t first, uint32_t pages, Unused unused);
  uint32_t take_empty_chunk(Leaf& leaf);
  void split(Leaf& leaf);
  StoredRun run_in_leaf(const Leaf& leaf, uint32_t first, uint32_t last, uint32_t round_min) const;

  Result<> reserve(uint64_t pages);
  void split_unfilled();
  void remove(uint32_t process, uint64_t address, uint64_t end, Unused unused);

  const PageStoreOptions options_;
  std::unique_ptr<PageArena> arena_;
  std::atomic<uint32_t> round_{1};
  std::atomic<uint64_t> data_pages_{0};
  std::atomic<uint64_t> zero_pages_{0};
  std::atomic<uint64_t> resident_pages_{0};
  std::atomic<uint64_t> resident_pages_peak_{0};
  std::atomic<uint64_t> leaves_{0};
  mutable std::shared_mutex processes_mutex_;
  std::map<uint32_t, std::shared_ptr<Process>> processes_;
};

}  // namespace godwit::memory
