#include "migration/simulator.h"

#include "migration/simulator_schedule.h"

namespace godwit::migration::simulation {

ScheduleResult run_schedule(const SimulatorOptions& options, uint64_t seed, Coverage& coverage, bool tracing) {
  return Schedule(options, seed, coverage, tracing).run();
}

Failure find_violation(const SimulatorOptions& options, uint64_t first_seed, uint64_t schedules, Coverage& coverage) {
  for (uint64_t i = 0; i < schedules; ++i) {
    const uint64_t seed = first_seed + i;
    if (run_schedule(options, seed, coverage).violation.empty()) continue;
    Coverage ignored;
    const ScheduleResult again = run_schedule(options, seed, ignored, true);
    std::string report = fmt::format("seed {}: {}\n", seed, again.violation);
    for (const std::string& line : again.trace) report += line + "\n";
    return {.found = true, .seed = seed, .schedules = i + 1, .report = std::move(report)};
  }
  return {.schedules = schedules};
}

}  // namespace godwit::migration::simulation
