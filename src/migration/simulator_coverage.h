// What a run of the simulator has visited, so that a test can tell "no promise was broken" from "nothing happened".
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "migration/destination_machine.h"
#include "migration/source_machine.h"

namespace godwit::migration::simulation {

constexpr size_t source_phases = static_cast<size_t>(SourcePhase::done) + 1;
constexpr size_t source_events = static_cast<size_t>(SourceEventKind::abandoned_end) + 1;
constexpr size_t source_effects = static_cast<size_t>(SourceEffectKind::finish_lost) + 1;
constexpr size_t destination_phases = static_cast<size_t>(DestinationPhase::done_refused) + 1;
constexpr size_t destination_events = static_cast<size_t>(DestinationEventKind::restarted_running) + 1;
constexpr size_t destination_effects = static_cast<size_t>(DestinationEffectKind::finish_refused) + 1;
constexpr size_t effect_variants = 16;  // the message of a send, the timer of a start_timer

enum class Fault : uint8_t {
  source_worker_crash,
  source_agent_crash,  // the worker and its supervisor
  source_reboot,
  destination_worker_crash,
  destination_agent_crash,
  destination_supervisor_crash,  // the worker lives on, but no new connection reaches it
  destination_reboot,
  destination_death,  // of its node, for good; the operator gives it up some time later
  connection_loss,
  partition,
  cancel,
  container_death,
  slow_effect,     // longer than the timers allow
  effect_failure,  // `failed`, `failed_transient`
  late_message,    // longer than the timers allow
  doubled_query,
  doubled_message,
  overtaken_message,  // by those sent after it
};
constexpr size_t fault_kinds = static_cast<size_t>(Fault::overtaken_message) + 1;
std::string_view fault_name(Fault fault);

std::string_view effect_name(SourceEffectKind kind);
std::string_view effect_name(DestinationEffectKind kind);
// With its message or timer: "send go".
std::string describe(const SourceEffect& effect);
std::string describe(const DestinationEffect& effect);

// Counts by place. One schedule or the sum of many; plain data.
struct Coverage {
  template <size_t Phases, size_t Effects>
  using EffectTable = std::array<std::array<std::array<uint32_t, effect_variants>, Effects>, Phases>;
  template <size_t Rows, size_t Columns>
  using Table = std::array<std::array<uint32_t, Columns>, Rows>;

  uint64_t schedules = 0;
  uint64_t steps = 0;
  uint64_t queries_answered_from_record = 0;
  uint64_t crashes_between_effects = 0;
  uint64_t stale_results = 0;  // of effects when another one had been ordered already
  std::array<uint64_t, 6> source_verdicts{};
  std::array<uint64_t, 6> destination_verdicts{};
  Table<source_phases, source_events> source_steps{};
  Table<destination_phases, destination_events> destination_steps{};
  EffectTable<source_phases, source_effects> source_did{};  // by the phase that the step began in
  EffectTable<destination_phases, destination_effects> destination_did{};
  Table<fault_kinds, source_phases> faults_by_source{};  // while the source's worker was in that phase
  Table<fault_kinds, destination_phases> faults_by_destination{};
  Table<source_effects, 4> source_crashes_inside{};  // by the number of its steps that were done
  Table<destination_effects, 4> destination_crashes_inside{};

  void count(SourcePhase phase, const SourceEffect& effect);
  void count(DestinationPhase phase, const DestinationEffect& effect);
};

// What the machines' code can produce from any state and event: "phase: effect" lines that `coverage` has not seen.
// `exempt`: lines that no schedule can reach; an exempt line that was seen is an error too, and returned.
std::vector<std::string> unseen_effects(const Coverage& coverage, const std::vector<std::string>& exempt);
// "fault in phase" lines of what never happened although some hundred thousand schedules must have it.
std::vector<std::string> unseen_faults(const Coverage& coverage);
// "effect, after n steps" lines of where no worker ever crashed.
std::vector<std::string> uncrashed_effects(const Coverage& coverage);
// Some lines for people.
std::string summary(const Coverage& coverage);

}  // namespace godwit::migration::simulation
