// Which pages of a restored process are still to be placed, and where their contents lie in the store: the process's
// own view of its memory, moved along as the process maps, unmaps, moves and forks. Pure data, no system calls.
//
// The kernel reports such changes as userfaultfd events, in an order that is almost the order of what happened: an
// event is queued after the lock on the address space was given up, so that the events of two threads can change
// places. Three cases matter, and are undone here:
// - mremap() is reported as a remap and then, when the first was read, an unmap of the old range: an "echo", which says
//   nothing new. Meanwhile another thread may have moved something else there.
// - A range moves to where another mapping still is in our books: the event that says that the other one went is on
//   its way. The other one is set aside ("displaced") and takes the next event for those addresses.
// - A fork's event comes after one that took a range away, although the child still has the range. So what one batch of
//   events took away ("vacated") is given to a child of the same batch too; if the child has no such range in truth,
//   the kernel refuses to place pages there, which does no harm. Not for longer: the process may get other memory
//   there without our being told (a mapping that grows as it moves).
// The first two are over as soon as a page could be placed: the kernel refuses that while an event is on its way.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "memory/page_arena.h"

namespace godwit::memory {

// A mapping of a restored process that userfaultfd serves.
struct LazyRange {
  uint64_t start = 0;
  uint64_t end = 0;
  bool wipe_on_fork = false;  // MADV_WIPEONFORK: a child has zeros there
};

// Pages of the store that one process waits for no longer.
struct SourceRange {
  uint64_t address = 0;
  uint64_t pages = 0;
};

// Owned by one process's entry in the pager and guarded by its lock.
class LazyMap {
 public:
  // Pages that are to be placed at `address`; in the store they are at `source`.
  struct Run {
    uint64_t address = 0;
    uint64_t source = 0;
    uint64_t pages = 0;
  };

  // The pages of `pages` from `start` (2 MiB of the store) are to be placed where they were.
  void add(uint64_t start, const ChunkPages& pages);
  // From now on exactly these ranges exist.
  void confine(std::span<const LazyRange> ranges);

  [[nodiscard]] uint64_t pending_pages() const { return pending_; }
  // The first pending run at or after `address`, at most `pages_max` long.
  [[nodiscard]] std::optional<Run> next(uint64_t address, uint64_t pages_max) const;
  // The pending run around a page, within `window_bytes` aligned; nothing if the page is not pending.
  [[nodiscard]] std::optional<Run> around(uint64_t address, uint64_t window_bytes) const;
  // Where the stretch with one origin ends that holds `address`.
  [[nodiscard]] uint64_t stretch_end(uint64_t address) const;
  // Every range that exists, whether something is pending there or not; neighbours in one.
  [[nodiscard]] std::vector<LazyRange> ranges() const;
  // Of the pages from `source` on in the store, the ones that are still needed for this process.
  [[nodiscard]] ChunkPages needed(uint64_t source, uint64_t pages) const;

  // The pages were placed, or need not be any more.
  void placed(uint64_t address, uint64_t pages);
  // Everything is void: the process is gone.
  void clear();

  // The kernel's events.
  void removed(uint64_t start, uint64_t end);  // contents dropped: zeros from now on
  void unmapped(uint64_t start, uint64_t end);
  void remapped(uint64_t from, uint64_t to, uint64_t bytes);
  [[nodiscard]] LazyMap forked() const;  // the child's map
  // All events that were there have been told.
  void batch_ended() { vacated_.clear(); }
  // A page could be placed: no event is on its way.
  void settled();

  // Ranges of the store that became unneeded since the last call.
  [[nodiscard]] std::vector<SourceRange> take_drained();

 private:
  // A stretch of addresses; pending pages are in one 2 MiB of the store, from `source` on.
  struct Piece {
    uint64_t pages = 0;
    uint64_t source = 0;
    uint32_t pending = 0;
    bool wipe_on_fork = false;
    ChunkPages bits;  // meaningful if pending; then pages <= 512
  };
  using Pieces = std::map<uint64_t, Piece>;  // by first address, without overlap

  static Piece part(const Piece& piece, uint64_t first, uint64_t pages);
  static Pieces cut(Pieces& from, uint64_t start, uint64_t end);
  static void collect_needed(const Pieces& pieces, uint64_t source, uint64_t pages, ChunkPages& found);
  void put_live(uint64_t start, const Piece& piece);
  void take_off(uint64_t start, Piece& piece, uint64_t low, uint64_t high);
  Pieces vacate(uint64_t start, uint64_t end);
  void forget(const Pieces& pieces);

  struct Echo {
    uint64_t start = 0;
    uint64_t end = 0;
    bool operator==(const Echo&) const = default;
  };

  Pieces live_;
  Pieces displaced_;
  Pieces vacated_;
  std::vector<Echo> echoes_;
  uint64_t pending_ = 0;  // in live_ and displaced_
  bool moved_ = false;    // a piece of live_ may have another source than its address
  std::vector<SourceRange> drained_;
};

}  // namespace godwit::memory
