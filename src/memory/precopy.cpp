#include "memory/precopy.h"

#include <linux/kcmp.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/unique_fd.h"
#include "memory/page_set.h"
#include "os/pagemap.h"
#include "os/subprocess.h"

namespace godwit::memory {
namespace {

// For the trackers that stop the container in each round.
constexpr auto round_freeze_max = std::chrono::seconds(5);
// How often the list of processes is read again in the freeze, until it stays the same.
constexpr int final_lists_max = 5;

bool has_ended(const UniqueFd& pidfd) {
  pollfd item{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  return ::poll(&item, 1, 0) > 0;
}

// Fills in what only smaps knows, from an earlier reading of it.
void copy_flags(const std::vector<os::Vma>& flagged, std::vector<os::Vma>& mappings) {
  for (os::Vma& vma : mappings) {
    const auto after = std::ranges::upper_bound(flagged, vma.start, {}, &os::Vma::start);
    if (after == flagged.begin() || std::prev(after)->end <= vma.start) continue;
    vma.locked = std::prev(after)->locked;
    vma.hugetlb = std::prev(after)->hugetlb;
  }
}

}  // namespace

// One process of the container.
struct PrecopySource::Process {
  ProcessIdentity identity;
  UniqueFd pidfd;
  std::unique_ptr<DirtyTracker> tracker;
  std::vector<os::Vma> flagged;  // as of the last round; only if it has locked or huge pages
  bool announced = false;        // the sink knows it
  bool scanned = false;          // at least one round has covered it
  std::string warning;           // the last one given
};

PrecopySource::PrecopySource(os::CgroupFreezer freezer, PrecopyOptions options)
    : freezer_(std::move(freezer)),
      options_(options),
      shared_(options.shared, options.first_index),
      next_index_(options.first_index) {}

PrecopySource::~PrecopySource() = default;

void PrecopySource::disarm() {
  for (auto& [pid, process] : processes_) {
    const auto disarmed = process->tracker->disarm();
    if (!disarmed.has_value()) log_warning("stop tracking process {}: {}", pid, disarmed.error().message);
  }
}

std::unique_ptr<DirtyTracker> PrecopySource::new_tracker(pid_t pid) const {
  return make_tracker(options_.tracker, pid,
                      {.stop = [this] { return freezer_.freeze(Deadline::after(round_freeze_max)); },
                       .resume = [this] { return freezer_.thaw(Deadline::after(round_freeze_max)); }});
}

Result<> PrecopySource::drop(Processes::iterator process, RunSink& sink, RoundReport& report) {
  ++report.processes_ended;
  const bool announced = process->second->announced;
  const ProcessIdentity identity = process->second->identity;
  processes_.erase(process);
  return announced ? sink.drop_process(identity) : Result<>{};
}

// Brings the list of processes up to date with the cgroup.
Result<> PrecopySource::find_processes(RunSink& sink, RoundReport& report) {
  GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(freezer_.directory()));
  if (pids.empty()) return fail("the container has no process any more (cgroup {})", freezer_.directory());
  if (pids.size() > options_.processes_max) {
    return fail("the container has {} processes, more than the limit of {}", pids.size(), options_.processes_max);
  }
  for (auto process = processes_.begin(); process != processes_.end();) {
    const auto here = process++;
    const bool listed = std::ranges::binary_search(pids, here->first);
    if (!listed || has_ended(here->second->pidfd)) GODWIT_TRY(drop(here, sink, report));
  }
  for (const pid_t pid : pids) {
    if (processes_.contains(pid)) continue;
    auto process = std::make_unique<Process>();
    auto pidfd = os::open_pidfd(pid);
    if (!pidfd && os::vanished(pidfd.error())) continue;
    if (!pidfd) return std::unexpected(std::move(pidfd.error()));
    process->pidfd = std::move(*pidfd);
    const auto status = os::read_status(pid);
    if (!status.has_value() || status->state == 'Z' || status->state == 'X') continue;
    process->identity = {.index = next_index_++, .pid = pid, .container_pid = status->namespace_pids.back()};
    process->tracker = new_tracker(pid);
    processes_.emplace(pid, std::move(process));
    ++report.processes_new;
  }
  report.processes = static_cast<uint32_t>(processes_.size());
  return {};
}

// Whether it has the same address space as one that is tracked: a vfork child until it executes a program. Tracking
// that twice would take findings away from the other, so it is left for the freeze.
bool PrecopySource::shares_memory(const Process& process) const {
  return std::ranges::any_of(processes_, [&](const auto& entry) {
    const Process& other = *entry.second;
    return other.scanned && &other != &process &&
           ::syscall(SYS_kcmp, process.identity.pid, other.identity.pid, KCMP_VM, 0, 0) == 0;
  });
}

Result<> PrecopySource::scan(Process& process, RunSink& sink, RoundReport& report) {
  const pid_t pid = process.identity.pid;
  if (!process.scanned && shares_memory(process)) return {};
  if (!process.announced) GODWIT_TRY(sink.add_process(process.identity));
  process.announced = true;
  Result<> submitted;
  const double frozen_before_us = process.tracker->frozen_us();
  auto scanned = process.tracker->scan_and_rearm([&](const Run& run) {
    submitted = sink.submit(process.identity, run);
    return submitted;
  });
  report.frozen_us += process.tracker->frozen_us() - frozen_before_us;
  GODWIT_TRY(submitted);
  if (!scanned.has_value()) {
    // The next round drops it if it has ended, and tries again if not; the freeze copies what no round could.
    if (os::vanished(scanned.error()) || scanned.error().message == process.warning) return {};
    process.warning = scanned.error().message;
    report.warnings.push_back(fmt::format("memory of process {} (pid {} in the container) cannot be copied yet: {}",
                                          pid, process.identity.container_pid, process.warning));
    return {};
  }
  process.scanned = true;
  report.data_pages += scanned->data_pages;
  report.absent_pages += scanned->absent_pages;
  report.present_pages += scanned->present_pages;
  report.untracked_pages += scanned->untracked_pages;

  const auto status = os::read_status(pid);
  process.flagged.clear();
  if (status.has_value() && (status->locked_kib > 0 || status->hugetlb_kib > 0)) {
    process.flagged = os::read_mappings(pid, true).value_or(std::vector<os::Vma>{});
  }
  const auto descriptors = os::read_descriptors(pid);
  return shared_.add(process.identity, scanned->mappings, descriptors.value_or(std::vector<os::Descriptor>{}));
}

Result<> PrecopySource::scan_shared(RunSink& sink, RoundReport& report) {
  GODWIT_ASSIGN(report.shared, shared_.scan(sink));
  report.data_pages += report.shared.data_pages;
  report.absent_pages += report.shared.absent_pages;
  return {};
}

Result<RoundReport> PrecopySource::run_round(RunSink& sink, Deadline deadline) {
  const Clock::time_point since = Clock::now();
  RoundReport report;
  report.round = ++rounds_;
  GODWIT_TRY(find_processes(sink, report));
  shared_.begin();
  for (const auto& [pid, process] : processes_) {
    if (deadline.expired()) return fail("the deadline passed in round {} of the pre-copy", rounds_);
    GODWIT_TRY(scan(*process, sink, report));
  }
  GODWIT_TRY(scan_shared(sink, report));
  frozen_us_ += report.frozen_us;
  report.scan_ms = elapsed_ms(since);
  return report;
}

Result<FinalProcess> PrecopySource::scan_finally(Process& process, RunSink& sink, RoundReport& report) {
  if (!process.announced) GODWIT_TRY(sink.add_process(process.identity));
  process.announced = true;
  PageSet submitted;
  GODWIT_ASSIGN(ScanReport scanned, process.tracker->final_scan([&](const Run& run) {
    if (run.kind == RunKind::data) submitted.insert(run.address, run.pages);
    return sink.submit(process.identity, run);
  }));
  // If it goes on, no round may look at it, but another's tracker may protect its pages (vfork): what is protected says
  // nothing about it.
  if (!process.scanned) GODWIT_TRY(process.tracker->disarm());
  const bool writes_code = std::ranges::any_of(scanned.mappings, [&](const os::Vma& vma) {
    return vma.execute && submitted.first(vma.start, vma.end).has_value();
  });
  copy_flags(process.flagged, scanned.mappings);
  report.data_pages += scanned.data_pages;
  report.absent_pages += scanned.absent_pages;
  report.present_pages += scanned.present_pages;
  report.untracked_pages += scanned.untracked_pages;
  if (!process.scanned && options_.tracker != TrackerKind::none) {
    report.warnings.push_back(
        fmt::format("process {} (pid {} in the container) was not tracked, its {} MiB were copied in the freeze{}",
                    process.identity.pid, process.identity.container_pid, scanned.data_pages * os::page_bytes >> 20,
                    process.warning.empty() ? ": it is new, or a vfork child" : ": " + process.warning));
  }
  const auto descriptors = os::read_descriptors(process.identity.pid);
  GODWIT_TRY(shared_.add(process.identity, scanned.mappings, descriptors.value_or(std::vector<os::Descriptor>{})));
  return FinalProcess{.identity = process.identity,
                      .mappings = std::move(scanned.mappings),
                      .present_pages = scanned.present_pages,
                      .data_pages = scanned.data_pages,
                      .tracked = process.scanned && options_.tracker != TrackerKind::none,
                      .writes_code = writes_code};
}

Result<FinalReport> PrecopySource::final_pass(RunSink& sink, Deadline deadline) {
  const Clock::time_point since = Clock::now();
  FinalReport report;
  report.totals.round = rounds_ + 1;
  shared_.begin();
  std::map<pid_t, FinalProcess> done;
  // A process that was just being moved into the cgroup from outside (an exec into the container) may still appear.
  for (int attempt = 0; attempt < final_lists_max; ++attempt) {
    const size_t before = done.size();
    GODWIT_TRY(find_processes(sink, report.totals));
    for (const auto& [pid, process] : processes_) {
      if (done.contains(pid)) continue;
      if (deadline.expired()) return fail("the deadline passed while the last changes were looked for");
      auto final_process = scan_finally(*process, sink, report.totals);
      if (!final_process.has_value() && has_ended(process->pidfd)) continue;  // killed; dropped the next time around
      GODWIT_TRY(final_process);
      done.emplace(pid, std::move(*final_process));
    }
    if (attempt > 0 && done.size() == before) break;
  }
  for (auto& [pid, process] : done) {
    if (processes_.contains(pid)) report.processes.push_back(std::move(process));
  }
  GODWIT_TRY(scan_shared(sink, report.totals));
  report.shared = shared_.objects();
  report.mapped_files = shared_.mapped_files();
  report.totals.scan_ms = elapsed_ms(since);
  return report;
}

}  // namespace godwit::memory
