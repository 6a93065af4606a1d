#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/event_log.h"
#include "agent/lane_sink.h"
#include "agent/requests.h"
#include "agent/source_container.h"
#include "agent/timeline.h"
#include "base/deadline.h"
#include "base/result.h"
#include "criu/dump.h"
#include "files/in_use.h"
#include "files/source.h"
#include "memory/convergence.h"
#include "memory/precopy.h"
#include "os/byte_stream.h"

namespace godwit::agent {

struct CopyTotals {
  uint64_t memory_bytes = 0;  // of the container, as last seen
  uint64_t wire_bytes = 0;
  uint64_t rounds = 0;
  double frozen_us = 0;  // before the freeze
};

// Options that may change while rounds go on. Any thread.
class RoundOptions {
 public:
  void set(const MigrateOptions& options) {
    const std::lock_guard lock(mutex_);
    options_ = options;
  }
  [[nodiscard]] MigrateOptions get() const {
    const std::lock_guard lock(mutex_);
    return options_;
  }

 private:
  mutable std::mutex mutex_;
  MigrateOptions options_;
};

// A source's copying of memory and files, of one container or of a pod's as one: rounds while they run, and the rest in
// the freeze. The worker's effect thread calls it; stop() may come from any thread.
class SourceCopy {
 public:
  // `lanes` and `files_stream` are connected; `containers` and `options` outlive it.
  static Result<std::unique_ptr<SourceCopy>> open(const std::vector<SourceContainer>& containers,
                                                  const RoundOptions& options, std::unique_ptr<LaneSink> lanes,
                                                  std::unique_ptr<transfer::TlsStream> files_stream, EventLog& events);
  ~SourceCopy();
  SourceCopy(const SourceCopy&) = delete;
  SourceCopy& operator=(const SourceCopy&) = delete;

  // Rounds until another one would not make the pause shorter. May be called again after a freeze that came to nothing.
  Result<> precopy(Deadline deadline);
  // Nothing of the container runs. `scanned` is called when every dirty page has been found (not yet sent, but for
  // those of a program that writes code), with the shared memory that is ours to carry. Returns when the destination
  // has everything.
  using Scanned = std::function<Result<>(const std::vector<criu::SharedObjectId>&)>;
  Result<> final_copy(Timeline& timeline, Deadline deadline, const Scanned& scanned);
  // What the destination must know about the processes to restore their memory; after final_copy().
  [[nodiscard]] nlohmann::json final_description() const;
  // The flags of all mappings as they were shortly before the freeze; after precopy().
  [[nodiscard]] const criu::SmapsCache& smaps() const { return smaps_; }
  [[nodiscard]] CopyTotals totals() const;
  // Ends whatever waits here, for good.
  void stop();

 private:
  SourceCopy(const std::vector<SourceContainer>& containers, const RoundOptions& options,
             std::unique_ptr<LaneSink> lanes, std::unique_ptr<transfer::TlsStream> files_stream,
             memory::TrackerKind tracker, EventLog& events);
  Result<memory::RoundReport> scan_round(Deadline deadline);
  [[nodiscard]] Result<> wait_until(Deadline moment) const;
  Result<memory::Decision> run_round(memory::Convergence& policy, Deadline deadline);
  [[nodiscard]] Result<std::vector<pid_t>> read_processes() const;
  [[nodiscard]] Result<std::vector<files::FileInUse>> read_files_in_use() const;
  Result<> copy_files_once(Deadline deadline);
  void report_progress(uint64_t round, const std::stop_token& done);
  Result<> check_running() const;

  const std::vector<SourceContainer>& containers_;
  const RoundOptions& options_;
  EventLog& events_;
  std::unique_ptr<LaneSink> lanes_;
  std::unique_ptr<transfer::TlsStream> files_stream_;
  std::unique_ptr<files::FileSource> files_;                    // after its stream
  std::vector<std::unique_ptr<memory::PrecopySource>> memory_;  // one for each container
  bool files_begun_ = false;
  std::atomic<bool> stopped_ = false;

  criu::SmapsCache smaps_;
  std::vector<memory::FinalReport> final_;  // one for each container; empty before the freeze
  mutable std::mutex totals_mutex_;
  CopyTotals totals_;
  uint64_t files_wire_bytes_ = 0;
};

}  // namespace godwit::agent
