// No tracking: everything is always dirty. Rounds report nothing, the freeze copies all.
#pragma once

#include "memory/page_walk.h"
#include "memory/replica.h"
#include "memory/tracker.h"

namespace godwit::memory {

class NoTracker : public DirtyTracker {
 public:
  explicit NoTracker(pid_t pid) : pid_(pid) {}

  Result<> arm() override { return {}; }
  Result<ScanReport> scan_and_rearm(const RunFunction& emit) override;
  Result<ScanReport> final_scan(const RunFunction& emit) override;
  Result<> disarm() override { return {}; }
  [[nodiscard]] TrackerKind kind() const override { return TrackerKind::none; }

 private:
  Result<ScanReport> walk(const PageWalk::Visit& visit) const;

  pid_t pid_;
  Replica replica_;
};

}  // namespace godwit::memory
