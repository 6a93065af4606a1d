// Fills the memory of restored processes from the page store, while they are being restored and after they run, through
// the userfaultfds that criu hands over. A page fault is served at once; everything else is pushed in the background,
// the pages that changed last (the hottest) first.
//
// Order of calls in a migration:
//   start(); add() as the descriptors come, store_complete() when the last page is in the store (either may be first);
//   criu says that everything is restored: EagerWriter places what is not lazy (it calls confine());
//   tasks_resume() immediately before the tasks may run; wait_done().
//
// What goes wrong here is final. While the pager lives, a task that touches a page that could not be placed waits for
// it. Once the pager is destroyed (or this process ends) the kernel lets such a task go on WITH A ZERO PAGE. So on an
// error of wait_done(), and when the worker dies before that returned, the container has to be killed, and before the
// pager is destroyed.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "memory/lazy_map.h"
#include "memory/lazy_process.h"
#include "memory/page_store.h"

namespace godwit::memory {

struct PagerStatistics {
  uint64_t pending_pages = 0;  // still to be placed, in all processes
  uint64_t pushed_pages = 0;   // placed in the background
  uint64_t faulted_pages = 0;  // placed because a fault asked, neighbours included
  uint64_t faults = 0;
  uint64_t zero_faults = 0;   // of those, where nothing was stored
  uint64_t fault_us_max = 0;  // from the fault's being read to its being served
  uint64_t fault_us_p99 = 0;
  uint64_t forks = 0;
  uint64_t remaps = 0;
  uint64_t unmaps = 0;
  uint64_t removes = 0;
  uint64_t retries = 0;         // EAGAIN: mappings were changing
  uint64_t partial = 0;         // copies that ended in the middle and went on with the rest
  uint64_t present_pages = 0;   // EEXIST: there was a page already
  uint64_t unmapped_pages = 0;  // ENOENT: the process has no such mapping any more
  uint64_t processes = 0;       // forked ones included
  uint64_t processes_gone = 0;  // ended, or executed something else, before all their pages were placed
  double seconds = 0;           // from store_complete() until everything was placed
};

// Owned by the destination worker, which calls it from one thread (statistics() from any). Runs two threads of its own:
// one reads events and serves faults, one pushes.
class Pager {
 public:
  Pager(PageStore& store, const PagerOptions& options);
  // Ends the threads and closes the descriptors; see above for what that means before wait_done() has succeeded.
  ~Pager();
  Pager(const Pager&) = delete;
  Pager& operator=(const Pager&) = delete;

  Result<> start();
  // A restored process's userfaultfd, registered for missing pages with the events fork, remap, remove and unmap. One
  // for each process.
  Result<> add(uint32_t process, UniqueFd userfaultfd);
  // No page of the store changes any more: faults are served and pages pushed from here on.
  Result<> store_complete();
  // Called with the tasks stopped and everything mapped: the ranges (ascending) that userfaultfd really serves. What is
  // stored for the process elsewhere is no longer the pager's. Returns the pages that are left to it; nothing if the
  // process has no userfaultfd. After store_complete().
  std::optional<uint64_t> confine(uint32_t process, std::span<const LazyRange> ranges);
  // The tasks may run from now on: a page that finds no mapping is no longer waited for. Error: a process was not
  // confined, so that it is not known where its memory is; its tasks must not run.
  Result<> tasks_resume();
  // Until everything is placed in every process; then its memory is like any other, no descriptor is left, and the
  // store has given up all pages of these processes. Error: see above.
  Result<PagerStatistics> wait_done(Deadline deadline);

  [[nodiscard]] PagerStatistics statistics() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace godwit::memory
