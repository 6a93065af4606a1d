// Tracking by the soft-dirty bit (Documentation/admin-guide/mm/soft-dirty.rst), for kernels older than 6.7 that were
// built with CONFIG_MEM_SOFT_DIRTY. Looking at the bits and clearing them are two steps, and what is written in between
// would be lost: so all rounds but the first stop the container for the two (some milliseconds a GiB).
#pragma once

#include "memory/page_walk.h"
#include "memory/replica.h"
#include "memory/tracker.h"

namespace godwit::memory {

class SoftDirtyTracker : public DirtyTracker {
 public:
  SoftDirtyTracker(pid_t pid, Pause pause) : pid_(pid), pause_(std::move(pause)) {}

  Result<> arm() override { return {}; }
  Result<ScanReport> scan_and_rearm(const RunFunction& emit) override;
  Result<ScanReport> final_scan(const RunFunction& emit) override;
  Result<> disarm() override { return {}; }
  [[nodiscard]] TrackerKind kind() const override { return TrackerKind::soft_dirty; }

 private:
  [[nodiscard]] Result<> clear() const;
  Result<> look(ScanReport& report);

  pid_t pid_;
  Pause pause_;
  Replica replica_;
  bool cleared_ = false;  // the bits mean: written since our last look
};

}  // namespace godwit::memory
