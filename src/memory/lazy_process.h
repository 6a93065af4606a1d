// One process that the pager fills, restored or forked since: its userfaultfd, what it still lacks, the faults that
// wait. Knows how each outcome of placing pages is to be taken; when to do what is the pager's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "memory/fault_fd.h"
#include "memory/lazy_map.h"
#include "memory/page_store.h"

namespace godwit::memory {

struct PagerOptions {
  uint32_t step_bytes_max = 512 << 10;     // pushed in one go, at most; adapts itself to the time below
  uint32_t step_us = 200;                  // how long one step should take: a fault waits for at most one
  uint32_t fault_around_bytes = 64 << 10;  // brought along with a faulted page
  milliseconds no_memory_ms{10'000};       // how long ENOMEM (the container's memory limit) is borne
  uint32_t processes_max = 16'384;         // processes served at once, forked children included
};

// Microseconds, exact up to a millisecond. Written by one thread.
class LatencyHistogram {
 public:
  void add(uint64_t us);
  [[nodiscard]] uint64_t max() const { return max_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t percentile_99() const;

 private:
  std::array<std::atomic<uint32_t>, 1025> counts_{};  // the last: everything longer
  std::atomic<uint64_t> max_{0};
};

struct PagerCounters {
  std::atomic<uint64_t> pushed_pages{0};
  std::atomic<uint64_t> faulted_pages{0};
  std::atomic<uint64_t> faults{0};
  std::atomic<uint64_t> zero_faults{0};
  std::atomic<uint64_t> forks{0};
  std::atomic<uint64_t> remaps{0};
  std::atomic<uint64_t> unmaps{0};
  std::atomic<uint64_t> removes{0};
  std::atomic<uint64_t> retries{0};
  std::atomic<uint64_t> partial{0};
  std::atomic<uint64_t> present_pages{0};
  std::atomic<uint64_t> unmapped_pages{0};
  std::atomic<uint64_t> processes{0};
  std::atomic<uint64_t> processes_gone{0};
  LatencyHistogram fault_us;
};

// What all processes of a pager share.
struct PagerContext {
  PageStore& store;
  const PagerOptions options;
  PagerCounters counters;
  std::atomic<bool> tasks_run{false};
};

enum class PushStatus : uint8_t {
  placed,     // some pages, or found some that need not be: go on
  finished,   // nothing left behind the cursor
  busy,       // mappings are changing: an event is to be read first
  no_memory,  // try again later
  skipped,    // the stretch is not mapped yet
};

// Owned by its family in the pager; every function is called with the family's lock held, by the pager's two threads.
class LazyProcess {
 public:
  LazyProcess(PagerContext& context, uint64_t id, uint32_t process, FaultFd fd, LazyMap map);

  // Reads all events that are there; faults are kept for serve(). `forked` gets a child's descriptor and map.
  Result<> receive(const std::function<Result<>(UniqueFd, LazyMap)>& forked);
  // Serves the faults that wait. What cannot be served now is kept: see retry_at().
  Result<> serve();
  // When to call serve() again, if faults are left.
  [[nodiscard]] std::optional<Clock::time_point> retry_at() const;
  // Places the next run of pending pages at or behind `cursor` that were stored in `round_min` or later (0: any), and
  // moves the cursor on.
  Result<PushStatus> push(uint64_t& cursor, uint32_t round_min, uint64_t pages_max);

  // From the kernel: what is served here. Until then, and until the tasks run, a page that finds no mapping is kept.
  void confine(std::span<const LazyRange> ranges);
  // Nothing is left to be done, so that the descriptor may be closed.
  [[nodiscard]] bool finished() const;
  void close();

  [[nodiscard]] uint64_t id() const { return id_; }
  [[nodiscard]] uint32_t process() const { return process_; }
  [[nodiscard]] bool confined() const { return confined_; }
  [[nodiscard]] const FaultFd& fd() const { return fd_; }
  [[nodiscard]] LazyMap& map() { return map_; }
  [[nodiscard]] const LazyMap& map() const { return map_; }

 private:
  struct Fault {
    uint64_t address = 0;
    Clock::time_point since;
  };
  enum class Served : uint8_t { yes, busy, no_memory };

  Result<> apply(const uffd_msg& event, const std::function<Result<>(UniqueFd, LazyMap)>& forked);
  Result<Served> serve_fault(uint64_t page);
  Result<Served> serve_absent(uint64_t page);
  Result<PushStatus> push_run(const LazyMap::Run& run, uint64_t& cursor);
  Result<PlaceStatus> place(const LazyMap::Run& run, std::atomic<uint64_t>& counter);
  Result<> note(const PlaceResult& result, uint64_t address);

  PagerContext& context_;
  const uint64_t id_;
  const uint32_t process_;  // in the store
  FaultFd fd_;
  LazyMap map_;
  bool confined_ = false;
  std::vector<Fault> faults_;
  uint64_t step_pages_ = PageArena::chunk_pages;  // less after a run did not lie within one mapping
  uint32_t retry_us_ = 0;
  Clock::time_point retry_at_;
  std::optional<Clock::time_point> no_memory_since_;
};

}  // namespace godwit::memory
