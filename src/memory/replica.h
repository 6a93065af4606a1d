// What the destination holds of one process's private memory, as the source knows it: the model that turns what a scan
// saw into what has to be sent. Shared by all trackers.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "memory/page_set.h"
#include "memory/tracker.h"

namespace godwit::memory {

// One scan is: begin(), visit() for each run of the process's pages, report(). Used by the tracker's thread.
class Replica {
 public:
  void begin() { seen_.clear(); }
  // Pages that the process has now; `written` since the last scan that visited them.
  void visit(uint64_t start, uint64_t end, bool written) {
    const uint64_t pages = (end - start) >> PageSet::page_shift;
    seen_.insert(start, pages);
    if (written) unsent_.insert(start, pages);
  }
  // Pages between two addresses that are as the last scan saw them.
  void keep(uint64_t start, uint64_t end) { seen_.insert(held_, start, end); }
  // The first page between two addresses that the last scan saw.
  [[nodiscard]] std::optional<uint64_t> first_held(uint64_t start, uint64_t end) const {
    return held_.first(start, end);
  }
  [[nodiscard]] bool trusted() const { return !distrusted_; }
  // What was written is not known for certain (a scan broke off): everything counts as written in the next report.
  void distrust() { distrusted_ = true; }

  // Emits, each page at most once: `absent` what is held and was not seen; `data` what was written, or seen and not
  // held. If `emit` fails, nothing that it refused is forgotten: the next report has it again.
  Result<> report(const RunFunction& emit, ScanReport& counts);

 private:
  PageSet held_;
  PageSet seen_;
  PageSet unsent_;  // written and not reported yet
  // Until the first report too: another tracker may have protected pages that two processes share, as after vfork().
  bool distrusted_ = true;
};

}  // namespace godwit::memory
