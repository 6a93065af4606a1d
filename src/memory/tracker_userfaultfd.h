// Tracking by userfaultfd: each private mapping of the process is registered for asynchronous write-protection with a
// userfaultfd that was made in the process (os/remote_syscall.h), and PAGEMAP_SCAN finds what was written and protects
// it again in one step.
//
// Nothing is trusted to have stayed as it was. A mapping that is not registered (new, moved by mremap, replaced by
// mmap, after an exec, in a forked child) makes the scan fail with EPERM: it is registered, and all of it counts as
// written. If that does not help, the address space is another one than our userfaultfd's: a new one is made.
#pragma once

#include <optional>

#include "memory/page_walk.h"
#include "memory/replica.h"
#include "memory/tracker.h"
#include "os/userfaultfd.h"

namespace godwit::memory {

class UserfaultfdTracker : public DirtyTracker {
 public:
  explicit UserfaultfdTracker(pid_t pid) : pid_(pid) {}

  Result<> arm() override;
  Result<ScanReport> scan_and_rearm(const RunFunction& emit) override;
  Result<ScanReport> final_scan(const RunFunction& emit) override;
  Result<> disarm() override;
  [[nodiscard]] TrackerKind kind() const override { return TrackerKind::userfaultfd; }

 private:
  enum class Walked { done, other_address_space };
  Result<> inject();
  Result<Walked> walk_all(PageWalk& walk, ScanReport& report);
  Result<Walked> walk_tracked(PageWalk& walk, const os::MappingQuery& query, const os::Vma& vma, ScanReport& report);
  Result<> walk_finally(PageWalk& walk, const os::Vma& vma, ScanReport& report);
  Result<> walk_changes(PageWalk& walk, const os::Vma& vma);
  Result<> keep_unchanged(PageWalk& walk, const os::Vma& vma);

  pid_t pid_;
  std::optional<os::WriteTracker> writes_;
  Replica replica_;
};

}  // namespace godwit::memory
