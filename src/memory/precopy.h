// Pre-copy of a whole container, the source's half: which processes there are, what each has changed since the last
// round, and in the freeze the exact rest. What is found goes to a RunSink; sending, barriers and the decision when to
// freeze (convergence.h) are the caller's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "memory/run_sink.h"
#include "memory/shared_memory.h"
#include "memory/tracker.h"
#include "os/freezer.h"
#include "os/procfs.h"

namespace godwit::memory {

struct PrecopyOptions {
  TrackerKind tracker = TrackerKind::userfaultfd;
  SharedOptions shared;
  uint32_t processes_max = 4096;
  uint32_t first_index = 0;  // of processes and of shared objects: containers that move as one need different ones
};

struct RoundReport {
  uint32_t round = 0;  // from 1
  uint32_t processes = 0;
  uint32_t processes_new = 0;
  uint32_t processes_ended = 0;
  uint64_t data_pages = 0;  // submitted, private and shared
  uint64_t absent_pages = 0;
  uint64_t present_pages = 0;    // private memory of all processes
  uint64_t untracked_pages = 0;  // known to come again in the freeze
  SharedReport shared;
  double scan_ms = 0;    // includes the time that the sink took
  double frozen_us = 0;  // sum over all processes of how long each was stopped in this round
  std::vector<std::string> warnings;
};

struct FinalProcess {
  ProcessIdentity identity;
  std::vector<os::Vma> mappings;
  uint64_t present_pages = 0;
  uint64_t data_pages = 0;   // of the final delta
  bool tracked = false;      // false: copied whole in the freeze, see warnings
  bool writes_code = false;  // pages of executable mappings are in the final delta
};

struct FinalReport {
  std::vector<FinalProcess> processes;  // every living process of the container
  std::vector<SharedObject> shared;
  std::vector<MappedFile> mapped_files;
  RoundReport totals;
};

// Owned and called by one thread of the source worker. Destroying it takes all tracking off.
class PrecopySource {
 public:
  PrecopySource(os::CgroupFreezer freezer, PrecopyOptions options);
  ~PrecopySource();
  PrecopySource(const PrecopySource&) = delete;
  PrecopySource& operator=(const PrecopySource&) = delete;

  // One round over the running container. Processes that end meanwhile are dropped, new ones found the next time at
  // the latest. Fails only if the sink fails, the cgroup is gone or empty, or the deadline passes.
  Result<RoundReport> run_round(RunSink& sink, Deadline deadline);

  // The rest, exactly: to be called while nothing of the container runs, held by its freezer or by a tracer. Rounds may
  // follow after an abort and thaw.
  Result<FinalReport> final_pass(RunSink& sink, Deadline deadline);

  // Takes the tracking off every process; safe while frozen.
  void disarm();

  // Sum of all rounds: what the pre-copy stopped the container for.
  [[nodiscard]] double frozen_us() const { return frozen_us_; }

 private:
  struct Process;
  using Processes = std::map<pid_t, std::unique_ptr<Process>>;

  Result<> find_processes(RunSink& sink, RoundReport& report);
  Result<> drop(Processes::iterator process, RunSink& sink, RoundReport& report);
  [[nodiscard]] bool shares_memory(const Process& process) const;
  Result<> scan(Process& process, RunSink& sink, RoundReport& report);
  Result<> scan_shared(RunSink& sink, RoundReport& report);
  Result<FinalProcess> scan_finally(Process& process, RunSink& sink, RoundReport& report);
  [[nodiscard]] std::unique_ptr<DirtyTracker> new_tracker(pid_t pid) const;

  os::CgroupFreezer freezer_;
  PrecopyOptions options_;
  Processes processes_;  // by pid
  SharedMemory shared_;
  uint32_t next_index_ = 0;
  uint32_t rounds_ = 0;
  double frozen_us_ = 0;
};

}  // namespace godwit::memory
