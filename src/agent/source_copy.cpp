#include "agent/source_copy.h"

#include <algorithm>
#include <map>

#include "agent/network_volumes.h"
#include "base/log.h"
#include "memory/page_store.h"
#include "memory/tracker.h"
#include "os/procfs.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr auto progress_interval = std::chrono::milliseconds(100);
// While the first copy of the files takes longer than that of memory, memory is kept fresh at this pace.
constexpr auto idle_round_interval = std::chrono::seconds(1);
// The making of a pod keeps its node's processors busy for a moment, and a pause then is half as long again.
constexpr auto settle_time = std::chrono::milliseconds(1200);
constexpr auto write_out_time = std::chrono::minutes(1);
constexpr auto wait_interval = std::chrono::milliseconds(20);

memory::ConvergenceOptions convergence_options(const MigrateOptions& options) {
  memory::ConvergenceOptions convergence;
  if (options.iterations) convergence.rounds_max = static_cast<uint32_t>(*options.iterations);
  if (options.dirty_pages) convergence.dirty_pages_threshold = *options.dirty_pages;
  if (options.be_done_soon) convergence.goal = memory::ConvergenceOptions::Goal::dump_time;
  if (options.freeze_time_ms) convergence.requested_freeze_ms = *options.freeze_time_ms;
  return convergence;
}

// Whether what `part` mounts is below what `whole` does.
bool contains(const os::Mount& whole, const os::Mount& part) {
  const std::string root = whole.root == "/" ? "" : whole.root;
  return whole.device == part.device && part.root.starts_with(root + "/");
}

// What is mounted in several places goes along once. Where one place shows a part of another, the same files would be
// written twice.
Result<std::vector<files::SourceRoot>> file_roots(const std::vector<SourceContainer>& containers) {
  std::vector<files::SourceRoot> all;
  std::vector<std::pair<const os::Mount*, size_t>> carried;  // of the node, with its index of `all`
  for (size_t i = 0; i < containers.size(); ++i) {
    const auto viewer = static_cast<uint16_t>(i);
    for (files::SourceRoot& root : containers[i].file_roots()) {
      const os::Mount* mount = containers[i].mount_of(root.id);
      const auto same = std::ranges::find_if(carried, [&](const auto& other) {
        return mount != nullptr && other.first->device == mount->device && other.first->root == mount->root;
      });
      if (same != carried.end()) {
        all[same->second].other_views.push_back({.viewer = viewer, .mount_point = root.mount_point});
        continue;
      }
      for (const auto& [other, index] : carried) {
        if (mount == nullptr || (!contains(*other, *mount) && !contains(*mount, *other))) continue;
        return fail(
            "what is mounted at {} and at {} are parts of one another: mount the same of that volume, or parts "
            "that share nothing (subPath)",
            all[index].mount_point, root.mount_point);
      }
      if (mount != nullptr) carried.emplace_back(mount, all.size());
      root.id = static_cast<uint16_t>(root.id + i * member_file_ids);
      root.viewer = viewer;
      all.push_back(std::move(root));
    }
  }
  return all;
}

json describe(const memory::SharedObject& object) {
  json mappings = json::array();
  for (const memory::SharedMapping& mapping : object.mappings) {
    mappings.push_back({{"process", mapping.process_index}, {"start", mapping.start}, {"offset", mapping.offset}});
  }
  return {{"index", object.identity.index},
          {"path", object.identity.path},
          {"pages", object.held_pages},
          {"mappings", mappings}};
}

}  // namespace

SourceCopy::SourceCopy(const std::vector<SourceContainer>& containers, const RoundOptions& options,
                       std::unique_ptr<LaneSink> lanes, std::unique_ptr<transfer::TlsStream> files_stream,
                       memory::TrackerKind tracker, EventLog& events)
    : containers_(containers),
      options_(options),
      events_(events),
      lanes_(std::move(lanes)),
      files_stream_(std::move(files_stream)) {
  for (size_t i = 0; i < containers.size(); ++i) {
    memory_.push_back(std::make_unique<memory::PrecopySource>(
        containers[i].freezer,
        memory::PrecopyOptions{.tracker = tracker, .first_index = static_cast<uint32_t>(i) * member_indices}));
  }
}

SourceCopy::~SourceCopy() {
  stop();
}

Result<std::unique_ptr<SourceCopy>> SourceCopy::open(const std::vector<SourceContainer>& containers,
                                                     const RoundOptions& options, std::unique_ptr<LaneSink> lanes,
                                                     std::unique_ptr<transfer::TlsStream> files_stream,
                                                     EventLog& events) {
  const auto probes = memory::probe_trackers();
  const memory::TrackerKind tracker = memory::best_tracker(probes);
  if (tracker == memory::TrackerKind::none) {
    for (const auto& probe : probes) {
      if (!probe.works) log_info("dirty pages by {}: {}", memory::to_string(probe.kind), probe.reason);
    }
    events.note("this kernel cannot tell which pages change: all memory is copied while the container is frozen");
  }
  std::unique_ptr<SourceCopy> copy(
      new SourceCopy(containers, options, std::move(lanes), std::move(files_stream), tracker, events));
  GODWIT_ASSIGN(std::vector<files::SourceRoot> roots, file_roots(containers));
  GODWIT_ASSIGN(copy->files_, files::FileSource::open(std::move(roots), {}, *copy->files_stream_));
  return copy;
}

void SourceCopy::stop() {
  if (stopped_.exchange(true)) return;
  lanes_->stop();
  files_stream_->shutdown();
}

Result<> SourceCopy::check_running() const {
  if (stopped_) return fail("the copying was stopped");
  return {};
}

void SourceCopy::report_progress(uint64_t round, const std::stop_token& done) {
  std::mutex mutex;
  std::condition_variable_any ended;
  std::unique_lock lock(mutex);
  uint64_t memory_bytes = 0;
  for (const SourceContainer& container : containers_) memory_bytes += container.description.memory_bytes;
  while (!ended.wait_for(lock, done, progress_interval, [] { return false; }) && !done.stop_requested()) {
    events_.emit(
        ProgressEvent{.round = round,
                      .bytes_sent = lanes_->sent_bytes_in_round(),
                      .bytes_total = std::max(lanes_->submitted_bytes_in_round(), round == 1 ? memory_bytes : 0)});
  }
}

// Of all containers, as if they were one.
Result<memory::RoundReport> SourceCopy::scan_round(Deadline deadline) {
  memory::RoundReport sum;
  for (const auto& memory : memory_) {
    GODWIT_ASSIGN(const memory::RoundReport report, memory->run_round(*lanes_, deadline));
    sum.data_pages += report.data_pages;
    sum.present_pages += report.present_pages;
    sum.shared.scanned_pages += report.shared.scanned_pages;
    sum.warnings.insert(sum.warnings.end(), report.warnings.begin(), report.warnings.end());
  }
  return sum;
}

Result<> SourceCopy::wait_until(Deadline moment) const {
  while (!moment.expired()) {
    GODWIT_TRY(check_running());
    std::this_thread::sleep_for(wait_interval);
  }
  return {};
}

Result<memory::Decision> SourceCopy::run_round(memory::Convergence& policy, Deadline deadline) {
  GODWIT_TRY(check_running());
  const uint64_t number = totals().rounds + 1;
  const auto began = Clock::now();
  const uint64_t wire_before = lanes_->wire_bytes();
  GODWIT_TRY(lanes_->begin_round(number));
  std::jthread progress([&](const std::stop_token& done) { report_progress(number, done); });
  auto report = scan_round(deadline);
  auto sent = report ? lanes_->end_round(deadline) : Result<>();
  progress.request_stop();
  progress.join();
  if (!report) return std::unexpected(std::move(report.error()));
  if (!sent) return std::unexpected(std::move(sent.error()));
  const double seconds = elapsed_ms(began) / 1000;
  const memory::RoundMeasure measure{.dirty_bytes = report->data_pages * memory::page_size_bytes,
                                     .sent_bytes = lanes_->sent_bytes_in_round(),
                                     .seconds = seconds};
  policy.set_options(convergence_options(options_.get()));
  const memory::Decision decision = policy.add(measure);
  for (const std::string& warning : report->warnings) events_.note(warning);
  events_.emit(RoundEvent{.round = number,
                          .dirty_pages = report->data_pages,
                          .bytes = measure.dirty_bytes,
                          .wire_bytes = lanes_->wire_bytes() - wire_before,
                          .seconds = seconds,
                          .rate_bytes_per_s = seconds > 0 ? static_cast<double>(measure.sent_bytes) / seconds : 0,
                          .predicted_pause_ms = decision.predicted_pause_ms});
  const std::lock_guard lock(totals_mutex_);
  totals_.rounds = number;
  totals_.memory_bytes = (report->present_pages + report->shared.scanned_pages) * memory::page_size_bytes;
  totals_.frozen_us = 0;
  for (const auto& memory : memory_) totals_.frozen_us += memory->frozen_us();
  return decision;
}

Result<std::vector<pid_t>> SourceCopy::read_processes() const {
  std::vector<pid_t> all;
  for (const SourceContainer& container : containers_) {
    GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(container.freezer.directory()));
    all.insert(all.end(), pids.begin(), pids.end());
  }
  return all;
}

Result<std::vector<files::FileInUse>> SourceCopy::read_files_in_use() const {
  std::vector<files::FileInUse> all;
  for (size_t i = 0; i < containers_.size(); ++i) {
    GODWIT_ASSIGN(const std::vector<pid_t> pids, os::cgroup_processes(containers_[i].freezer.directory()));
    GODWIT_ASSIGN(std::vector<files::FileInUse> in_use, files::files_in_use(pids));
    for (files::FileInUse& file : in_use) {
      file.viewer = static_cast<uint16_t>(i);
      all.push_back(std::move(file));
    }
  }
  return all;
}

Result<> SourceCopy::copy_files_once(Deadline deadline) {
  const auto copy_all = [&]() -> Result<files::PassStats> {
    GODWIT_ASSIGN(const std::vector<files::FileInUse> in_use, read_files_in_use());
    return files_->first_pass(in_use, deadline);
  };
  GODWIT_ASSIGN(const files::PassStats pass, files_begun_ ? files_->next_pass(deadline) : copy_all());
  files_begun_ = true;
  log_info("files: pass {}: {} entries, {} bytes in {:.3f} s", pass.pass, pass.entries_sent, pass.bytes_sent,
           pass.seconds);
  const std::lock_guard lock(totals_mutex_);
  files_wire_bytes_ += pass.wire_bytes;
  return {};
}

Result<> SourceCopy::precopy(Deadline deadline) {
  memory::Convergence policy(convergence_options(options_.get()));
  Result<> files_outcome;
  std::atomic<bool> files_done = false;
  std::thread files_thread([&] {
    files_outcome = copy_files_once(deadline);
    files_done = true;
  });
  Result<> outcome;
  memory::Decision decision;
  const bool settles = containers_.front().description.in_pod && !options_.get().be_done_soon;
  const Deadline settled = Deadline::after(settles ? settle_time : milliseconds(0));
  while (outcome && !(decision.stop && files_done)) {
    if (decision.stop) {
      const Deadline next = Deadline::after(idle_round_interval);
      while (!files_done && !next.expired()) std::this_thread::sleep_for(wait_interval);
      if (files_done) break;
      if (decision.reason == memory::StopReason::rounds_max) continue;  // there may be no more
    }
    if (auto round = run_round(policy, deadline)) {
      decision = *round;
      outcome = wait_until(settled);  // before the rounds that converge
    } else {
      outcome = std::unexpected(std::move(round.error()));
    }
  }
  if (!outcome) stop();  // ends the file copy too
  files_thread.join();
  GODWIT_TRY(outcome);
  GODWIT_TRY(files_outcome);
  if (decision.reason == memory::StopReason::not_converging) {
    events_.note(
        fmt::format("does not converge: memory changes as fast as it is sent ({:.0f} MB/s against {:.0f} MB/s); "
                    "about {} MiB will be copied while the container is frozen",
                    decision.dirty_bytes_per_second / 1e6, decision.send_bytes_per_second / 1e6,
                    decision.predicted_dirty_bytes >> 20));
  }
  if (decision.reason != memory::StopReason::rounds_max) {
    events_.emit(MissedRoundEvent{.round = totals().rounds + 2, .reason = memory::to_string(decision.reason)});
  }
  // What changed in files meanwhile; then memory once more, so that the freeze finds little of either.
  GODWIT_TRY(copy_files_once(deadline));
  GODWIT_ASSIGN(const std::vector<pid_t> processes, read_processes());
  GODWIT_TRY(smaps_.remember(processes));
  // So that little is left for the freeze, where it has to succeed.
  const auto written = write_out(network_volumes(containers_), deadline.sooner(Deadline::after(write_out_time)));
  if (!written) log_warning("{}", written.error().message);
  GODWIT_TRY(run_round(policy, deadline));
  return {};
}

Result<> SourceCopy::final_copy(Timeline& timeline, Deadline deadline, const Scanned& scanned) {
  GODWIT_TRY(check_running());
  Result<> files_outcome;
  std::thread files_thread([&] {
    const TimedStep step(timeline, "last files");
    auto in_use = read_files_in_use();
    auto pass = in_use ? files_->final_pass(*in_use, deadline) : std::unexpected(in_use.error());
    if (!pass) {
      files_outcome = std::unexpected(std::move(pass.error()));
      return;
    }
    const std::lock_guard lock(totals_mutex_);
    files_wire_bytes_ += pass->wire_bytes;
  });
  const auto copy_memory = [&]() -> Result<> {
    const TimedStep step(timeline, "last pages");
    GODWIT_TRY(lanes_->begin_round(totals().rounds + 1, true));
    final_.clear();
    std::vector<criu::SharedObjectId> shared;
    bool writes_code = false;
    for (const auto& memory : memory_) {
      GODWIT_ASSIGN(memory::FinalReport report, memory->final_pass(*lanes_, deadline));
      for (const memory::SharedObject& object : report.shared) {
        shared.push_back({.device = object.identity.device, .inode = object.identity.inode});
      }
      writes_code = writes_code || std::ranges::any_of(report.processes, &memory::FinalProcess::writes_code);
      final_.push_back(std::move(report));
    }
    if (writes_code) GODWIT_TRY(lanes_->end_round(deadline));
    GODWIT_TRY(scanned(shared));
    return writes_code ? Result<>{} : lanes_->end_round(deadline);
  };
  auto memory_outcome = copy_memory();
  files_thread.join();
  GODWIT_TRY(memory_outcome);
  return files_outcome;
}

json SourceCopy::final_description() const {
  json processes = json::array();
  json objects = json::array();
  if (final_.empty()) return json::object();
  for (size_t member = 0; member < final_.size(); ++member) {
    for (const memory::FinalProcess& process : final_[member].processes) {
      processes.push_back({{"index", process.identity.index},
                           {"container_pid", process.identity.container_pid},
                           {"zombie", process.mappings.empty()}});
      if (member > 0) processes.back()["member"] = member;
    }
    for (const memory::SharedObject& object : final_[member].shared) objects.push_back(describe(object));
  }
  return {{"processes", processes}, {"objects", objects}};
}

CopyTotals SourceCopy::totals() const {
  const std::lock_guard lock(totals_mutex_);
  CopyTotals totals = totals_;
  totals.wire_bytes = lanes_->wire_bytes() + files_wire_bytes_;
  return totals;
}

}  // namespace godwit::agent
