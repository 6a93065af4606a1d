// A deterministic simulator of the hand-over: both machines, the network between them, the execution of their effects,
// crashes of workers, agents and nodes, all in virtual time and all decided by one number, the seed. docs/hand-over.md
// says what is promised; simulator_world.h checks it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "migration/destination_machine.h"
#include "migration/simulator_coverage.h"
#include "migration/source_machine.h"

namespace godwit::migration::simulation {

// What the machines rely on and only an executor of effects (src/agent), or the operator, can keep. Each can be
// switched off, to show that the promises fall without it. What they do not rely on: that the result of an effect is
// dropped when another one was ordered meanwhile. Half of the schedules deliver it.
struct ExecutorContract {
  bool failed_record_is_none = true;  // `failed` of record_*: nothing was written
  bool takes_back_record = true;      // roll_back's first step: a crash from here on is `restarted`
  bool failed_resume_is_held = true;  // `failed` of resume: nothing was thawed
  bool settles_parked = true;         // resume releases what is parked; discard drops it
  bool operator_is_sure = true;       // only a destination whose node is dead, and stays it, is given up
  bool discards_silently = true;      // discard closes the gate first, which a resume may have opened before it crashed
};

struct SimulatorOptions {
  SourceStep (*source)(const SourceState&, const SourceEvent&) = &step;
  DestinationStep (*destination)(const DestinationState&, const DestinationEvent&) = &step;
  ExecutorContract contract;
};

struct ScheduleResult {
  std::string violation;           // empty: every promise was kept
  std::vector<std::string> trace;  // only if asked for
};

// Plays one schedule to its end and adds what it visited to `coverage`. The same seed gives the same schedule, with or
// without a trace.
ScheduleResult run_schedule(const SimulatorOptions& options, uint64_t seed, Coverage& coverage, bool tracing = false);

struct Failure {
  bool found = false;
  uint64_t seed = 0;
  uint64_t schedules = 0;  // played, the failing one included
  std::string report;      // seed, violation, trace
};

// Plays the seeds first_seed, first_seed + 1, ... until one breaks a promise.
Failure find_violation(const SimulatorOptions& options, uint64_t first_seed, uint64_t schedules, Coverage& coverage);

}  // namespace godwit::migration::simulation
