#include "memory/tracker_none.h"

namespace godwit::memory {

Result<ScanReport> NoTracker::walk(const PageWalk::Visit& visit) const {
  ScanReport report;
  GODWIT_ASSIGN(report.mappings, os::read_mappings(pid_));
  if (report.mappings.empty()) return std::unexpected(Error{fmt::format("process {} has ended", pid_), ESRCH});
  GODWIT_ASSIGN(PageWalk pages, PageWalk::open(pid_));
  for (const os::Vma& vma : report.mappings) {
    if (!holds_private_pages(vma)) continue;
    uint64_t at = vma.start;
    GODWIT_TRY(pages.walk(vma, {}, at, [&](uint64_t start, uint64_t end, bool written) {
      report.untracked_pages += (end - start) / os::page_bytes;
      visit(start, end, written);
    }));
  }
  return report;
}

Result<ScanReport> NoTracker::scan_and_rearm(const RunFunction& /*emit*/) {
  GODWIT_ASSIGN(ScanReport report, walk([](uint64_t, uint64_t, bool) {}));
  report.present_pages = report.untracked_pages;
  return report;
}

Result<ScanReport> NoTracker::final_scan(const RunFunction& emit) {
  replica_.begin();
  GODWIT_ASSIGN(ScanReport report, walk([&](uint64_t start, uint64_t end, bool) { replica_.visit(start, end, true); }));
  GODWIT_TRY(replica_.report(emit, report));
  return report;
}

}  // namespace godwit::memory
