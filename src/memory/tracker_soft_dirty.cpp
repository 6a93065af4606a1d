#include "memory/tracker_soft_dirty.h"

#include "os/file.h"

namespace godwit::memory {

Result<> SoftDirtyTracker::clear() const {
  auto cleared = os::write_file(fmt::format("/proc/{}/clear_refs", pid_), "4");
  if (!cleared.has_value() && cleared.error().code == ENOENT) cleared.error().code = ESRCH;
  return cleared;
}

Result<> SoftDirtyTracker::look(ScanReport& report) {
  GODWIT_ASSIGN(report.mappings, os::read_mappings(pid_));
  if (report.mappings.empty()) return std::unexpected(Error{fmt::format("process {} has ended", pid_), ESRCH});
  GODWIT_ASSIGN(PageWalk walk, PageWalk::open(pid_));
  replica_.begin();
  for (const os::Vma& vma : report.mappings) {
    if (!holds_private_pages(vma)) continue;
    uint64_t at = vma.start;
    GODWIT_TRY(walk.walk(vma, {.soft_dirty = true}, at,
                         [&](uint64_t start, uint64_t end, bool written) { replica_.visit(start, end, written); }));
  }
  return {};
}

Result<ScanReport> SoftDirtyTracker::scan_and_rearm(const RunFunction& emit) {
  ScanReport report;
  if (!cleared_) {
    // Everything is reported, so it is enough that writes from now on are noted.
    replica_.distrust();
    GODWIT_TRY(clear());
    GODWIT_TRY(look(report));
    cleared_ = true;
  } else {
    GODWIT_TRY(pause_.stop());
    const Clock::time_point since = Clock::now();
    auto looked = look(report);
    if (looked.has_value()) looked = clear();
    const auto resumed = pause_.resume();
    frozen_us_ += elapsed_ms(since) * 1000;
    if (!looked.has_value()) {
      cleared_ = false;
      return std::unexpected(std::move(looked).error());
    }
    GODWIT_TRY(resumed);
  }
  GODWIT_TRY(replica_.report(emit, report));
  return report;
}

Result<ScanReport> SoftDirtyTracker::final_scan(const RunFunction& emit) {
  ScanReport report;
  if (!cleared_) replica_.distrust();
  GODWIT_TRY(look(report));
  GODWIT_TRY(replica_.report(emit, report));
  return report;
}

}  // namespace godwit::memory
