// Finding the pages that a running process has changed since the last look, without stopping it.
//
// Three backends, one file each; probe_trackers() tells by a real round trip which of them work on this kernel:
//   userfaultfd  asynchronous write-protection and PAGEMAP_SCAN (Linux 6.7 and newer): the default
//   soft_dirty   clear_refs and pagemap bit 55 (CONFIG_MEM_SOFT_DIRTY): needs a short freeze in each round
//   none         everything is dirty: one full copy in the freeze
//
// What is reported of a process: its private memory (anonymous, and the pages of private file mappings that it has
// written to). Shared memory is shared_memory.h's.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "memory/run_sink.h"
#include "os/procfs.h"

namespace godwit::memory {

enum class TrackerKind : uint8_t { userfaultfd, soft_dirty, none };
const char* to_string(TrackerKind kind);

using RunFunction = std::function<Result<>(const Run&)>;

struct ScanReport {
  uint64_t data_pages = 0;
  uint64_t absent_pages = 0;
  uint64_t present_pages = 0;     // private pages that the process has now
  uint64_t untracked_pages = 0;   // of those, in mappings that cannot be tracked: copied in the freeze each time
  uint32_t mappings_tracked = 0;  // that were newly put under tracking by this scan
  std::vector<os::Vma> mappings;  // all of the process at the time of the scan
};

// Tracks one process. Owned and called by one thread (the one that scans).
//
// It models what the destination holds of the process, exactly: a page is reported as data when it was written or is
// not held there, as absent when it is held there and gone here. So each scan, together with all before it, describes
// the process as it was at some moment of the scan, except for pages written during it, which the next scan reports.
class DirtyTracker {
 public:
  virtual ~DirtyTracker() = default;

  // Prepares the process for tracking. Done by the first scan if not called.
  virtual Result<> arm() = 0;
  // Reports what changed since the last scan (the first: everything) and goes on tracking. ESRCH: the process ended.
  virtual Result<ScanReport> scan_and_rearm(const RunFunction& emit) = 0;
  // The same for a frozen process, exact, and the last one: tracks no further but leaves the tracking on, so that
  // after an abort scan_and_rearm() can go on where it was.
  virtual Result<ScanReport> final_scan(const RunFunction& emit) = 0;
  // Takes all tracking off, so that the process runs at full speed again.
  virtual Result<> disarm() = 0;

  [[nodiscard]] virtual TrackerKind kind() const = 0;
  // For how long the process, or one thread of it, has been stopped for the tracking so far.
  [[nodiscard]] double frozen_us() const { return frozen_us_; }

 protected:
  double frozen_us_ = 0;
};

// Stops the container and lets it go again: what soft_dirty needs in each round, because it cannot look at what was
// written and forget it in one step.
struct Pause {
  std::function<Result<>()> stop;
  std::function<Result<>()> resume;
};

std::unique_ptr<DirtyTracker> make_tracker(TrackerKind kind, pid_t pid, Pause pause = {});

struct TrackerProbe {
  TrackerKind kind = TrackerKind::none;
  bool works = false;
  std::string reason;  // why not, for the person who could change it; or how it was seen to work
};

// Tries each backend on a child process made for that: writes a page, asks which. Best first. Some milliseconds.
std::vector<TrackerProbe> probe_trackers();
// The first that works.
TrackerKind best_tracker(const std::vector<TrackerProbe>& probes);

}  // namespace godwit::memory
