#include "memory/tracker_userfaultfd.h"

#include <algorithm>
#include <utility>

#include "os/remote_syscall.h"

namespace godwit::memory {
namespace {

constexpr auto injection_time = std::chrono::milliseconds(200);
// How often one scan begins anew because the process executed another program meanwhile.
constexpr int restarts_max = 3;

std::unexpected<Error> process_ended(pid_t pid) {
  return std::unexpected(Error{fmt::format("process {} has ended", pid), ESRCH});
}

}  // namespace

Result<> UserfaultfdTracker::inject() {
  writes_.reset();
  replica_.distrust();
  GODWIT_ASSIGN(os::RemoteDescriptor remote,
                os::remote_userfaultfd(pid_, Deadline::after(injection_time), &frozen_us_));
  GODWIT_ASSIGN(writes_, os::WriteTracker::adopt(std::move(remote.fd)));
  return {};
}

Result<> UserfaultfdTracker::arm() {
  return writes_.has_value() ? Result<>{} : inject();
}

Result<ScanReport> UserfaultfdTracker::scan_and_rearm(const RunFunction& emit) {
  ScanReport report;
  GODWIT_TRY(arm());
  for (int attempt = 0;; ++attempt) {
    GODWIT_ASSIGN(report.mappings, os::read_mappings(pid_));
    if (report.mappings.empty()) return process_ended(pid_);
    GODWIT_ASSIGN(PageWalk walk, PageWalk::open(pid_));
    replica_.begin();
    auto walked = walk_all(walk, report);
    if (!walked.has_value()) {
      replica_.distrust();
      return std::unexpected(std::move(walked).error());
    }
    if (*walked == Walked::done) break;
    if (attempt == restarts_max) return fail("process {} executes one program after the other", pid_);
    GODWIT_TRY(inject());
  }
  GODWIT_TRY(replica_.report(emit, report));
  return report;
}

Result<UserfaultfdTracker::Walked> UserfaultfdTracker::walk_all(PageWalk& walk, ScanReport& report) {
  GODWIT_ASSIGN(const os::MappingQuery query, os::MappingQuery::open(pid_));
  for (const os::Vma& vma : report.mappings) {
    if (!holds_private_pages(vma)) continue;
    GODWIT_ASSIGN(const Walked walked, walk_tracked(walk, query, vma, report));
    if (walked != Walked::done) return walked;
  }
  return Walked::done;
}

Result<UserfaultfdTracker::Walked> UserfaultfdTracker::walk_tracked(PageWalk& walk, const os::MappingQuery& query,
                                                                    const os::Vma& vma, ScanReport& report) {
  uint64_t at = vma.start;
  bool all_written = false;
  const auto visit = [&](uint64_t start, uint64_t end, bool written) {
    replica_.visit(start, end, written || all_written);
  };
  for (int attempt = 0;; ++attempt) {
    const auto walked = walk.walk(vma, {.protect = true, .require_track = true}, at, visit);
    if (walked.has_value()) return Walked::done;
    if (walked.error().code != EPERM) return std::unexpected(walked.error());
    // Tracked without an error and still not tracked: either it was replaced again in between, or what was tracked is
    // another address space, which this process has left by an exec.
    if (attempt == 2) return Walked::other_address_space;
    // Some of it may have been protected before the scan failed: no page is known to be unwritten.
    all_written = true;
    Result<> tracked;
    for (uint64_t from = at; from < vma.end && tracked.has_value();) {
      // To the end that the mapping has now: one that was replaced meanwhile would be split in two, and calls that work
      // on a single mapping (mremap) would fail for the program.
      const uint64_t to = query.end_of(from, vma.end);
      tracked = writes_->track(from, to);
      from = to;
    }
    if (tracked.has_value()) {
      ++report.mappings_tracked;
      continue;
    }
    if (tracked.error().code == ESRCH) return Walked::other_address_space;
    if (tracked.error().code == ENOMEM) return Walked::done;  // unmapped meanwhile
    // Cannot be tracked (MAP_DROPPABLE, another userfaultfd's): left for the freeze.
    GODWIT_TRY(walk.walk(vma, {}, at, [&](uint64_t start, uint64_t end, bool) {
      report.untracked_pages += (end - start) / os::page_bytes;
    }));
    return Walked::done;
  }
}

Result<ScanReport> UserfaultfdTracker::final_scan(const RunFunction& emit) {
  ScanReport report;
  GODWIT_ASSIGN(report.mappings, os::read_mappings(pid_));
  if (report.mappings.empty()) return process_ended(pid_);
  GODWIT_ASSIGN(PageWalk walk, PageWalk::open(pid_));
  replica_.begin();
  for (const os::Vma& vma : report.mappings) {
    if (holds_private_pages(vma)) GODWIT_TRY(walk_finally(walk, vma, report));
  }
  GODWIT_TRY(replica_.report(emit, report));
  return report;
}

Result<> UserfaultfdTracker::walk_finally(PageWalk& walk, const os::Vma& vma, ScanReport& report) {
  uint64_t at = vma.start;
  // A file's mapping keeps its protection where a page was dropped: all of it has to be looked at.
  const bool only_changes = vma.inode == 0 && replica_.trusted();
  const auto walked =
      only_changes ? walk_changes(walk, vma)
                   : walk.walk(vma, {.require_track = true}, at, [&](uint64_t start, uint64_t end, bool written) {
                       replica_.visit(start, end, written);
                     });
  if (walked.has_value() || walked.error().code != EPERM) return walked;
  return walk.walk(vma, {}, at, [&](uint64_t start, uint64_t end, bool) {
    report.untracked_pages += (end - start) / os::page_bytes;
    replica_.visit(start, end, true);
  });
}

// Looks closer only at what is not protected. Everything else is as the last scan saw it, and was protected then.
Result<> UserfaultfdTracker::walk_changes(PageWalk& walk, const os::Vma& vma) {
  std::vector<os::Vma> changed;
  GODWIT_TRY(walk.walk_unprotected(vma, [&](uint64_t start, uint64_t end, bool) {
    changed.push_back(vma);
    changed.back().start = start;
    changed.back().end = end;
  }));
  os::Vma unchanged = vma;
  for (const os::Vma& part : changed) {
    unchanged.end = part.start;
    GODWIT_TRY(keep_unchanged(walk, unchanged));
    unchanged.start = part.end;
    uint64_t at = part.start;
    GODWIT_TRY(walk.walk(part, {}, at, [&](uint64_t start, uint64_t end, bool) { replica_.visit(start, end, true); }));
  }
  unchanged.end = vma.end;
  return keep_unchanged(walk, unchanged);
}

// Where a page table is gone nothing is written, and nothing is there: one page of each table tells.
Result<> UserfaultfdTracker::keep_unchanged(PageWalk& walk, const os::Vma& vma) {
  for (uint64_t start = vma.start; start < vma.end;) {
    const auto held = replica_.first_held(start, vma.end);
    if (!held) return {};
    const uint64_t table = *held / PageSet::block_bytes * PageSet::block_bytes;
    const uint64_t end = std::min(vma.end, table + PageSet::block_bytes);
    GODWIT_ASSIGN(const bool there, walk.has_page(*held));
    if (there) replica_.keep(*held, end);
    start = end;
  }
  return {};
}

Result<> UserfaultfdTracker::disarm() {
  // The kernel takes registration and protection off when the last descriptor goes.
  writes_.reset();
  replica_.distrust();
  return {};
}

}  // namespace godwit::memory
