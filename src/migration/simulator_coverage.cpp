#include "migration/simulator_coverage.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

namespace godwit::migration::simulation {
namespace {

template <typename Effect>
size_t variant_of(const Effect& effect) {
  using Kind = decltype(effect.kind);
  if (effect.kind == Kind::start_timer) return static_cast<size_t>(effect.timer);
  if (effect.kind == Kind::send) return static_cast<size_t>(effect.message);
  if constexpr (requires { Kind::answer; }) {
    if (effect.kind == Kind::answer) return static_cast<size_t>(effect.message);
  }
  return 0;
}

std::string_view timer_name(SourceTimer timer) {
  static constexpr std::array<std::string_view, 5> names{"prepare", "copy", "freeze", "ask", "retry"};
  return names.at(static_cast<size_t>(timer));
}
std::string_view timer_name(DestinationTimer timer) {
  static constexpr std::array<std::string_view, 3> names{"restore", "grace", "retry"};
  return names.at(static_cast<size_t>(timer));
}

template <typename Effect>
std::string describe_effect(const Effect& effect) {
  using Kind = decltype(effect.kind);
  const std::string name(effect_name(effect.kind));
  if (effect.kind == Kind::start_timer) return fmt::format("{} {}", name, timer_name(effect.timer));
  bool speaks = effect.kind == Kind::send;
  if constexpr (requires { Kind::answer; }) speaks = speaks || effect.kind == Kind::answer;
  return speaks ? fmt::format("{} {}", name, message_name(effect.message)) : name;
}

// Every state that a phase can have, as far as the code looks at it; every event, with an epoch that fits and not.
std::vector<SourceState> states_of(SourcePhase phase) {
  return {{.phase = phase, .epoch = 1},
          {.phase = phase, .epoch = freeze_attempts_max},
          {.phase = phase, .epoch = 1, .peer_died = true}};
}
std::vector<DestinationState> states_of(DestinationPhase phase) {
  return {{.phase = phase, .epoch = 1}, {.phase = phase, .epoch = 1}};
}

template <typename State, typename Event, size_t Phases, size_t Events, typename Table>
void compare(const Table& seen, std::string_view side, std::set<std::string>& can, std::set<std::string>& did) {
  using Phase = decltype(State::phase);
  for (size_t phase = 0; phase < Phases; ++phase) {
    for (size_t kind = 0; kind < Events; ++kind) {
      for (const State& state : states_of(static_cast<Phase>(phase))) {
        for (uint32_t epoch = 0; epoch <= 2; ++epoch) {
          const Event event{.kind = static_cast<decltype(Event::kind)>(kind), .epoch = epoch};
          for (const auto& effect : step(state, event).effects) {
            const std::string line =
                fmt::format("{} {}: {}", side, phase_name(static_cast<Phase>(phase)), describe(effect));
            can.insert(line);
            if (seen[phase][static_cast<size_t>(effect.kind)][variant_of(effect)] > 0) did.insert(line);
          }
        }
      }
    }
  }
}

template <size_t Columns>
uint64_t sum(const std::array<uint32_t, Columns>& row) {
  uint64_t total = 0;
  for (const uint32_t count : row) total += count;
  return total;
}

// Whether some hundred thousand schedules must have a fault while this side's worker is in this phase.
bool expected(Fault fault, SourcePhase phase) {
  using Phase = SourcePhase;
  const bool begun = phase != Phase::idle;
  // Nobody has anything to say then.
  const bool silent = phase == Phase::precopy || phase == Phase::freezing || phase == Phase::dumping;
  switch (fault) {
    case Fault::connection_loss:
    case Fault::slow_effect:
    case Fault::effect_failure:
      return begun;
    case Fault::late_message:
      return begun && !silent;
    case Fault::doubled_message:
    case Fault::overtaken_message:
      return begun && !silent && phase != Phase::killing;
    case Fault::doubled_query:
      return phase == Phase::given_away;
    default:
      return true;
  }
}

bool expected(Fault fault, DestinationPhase phase) {
  using Phase = DestinationPhase;
  switch (fault) {
    case Fault::late_message:
      return phase != Phase::recording_refusal;
    case Fault::doubled_query:
      return phase >= Phase::ready && phase != Phase::recording_refusal && phase != Phase::done_refused;
    case Fault::doubled_message:
    case Fault::overtaken_message:
      // At first the source has said its first word and waits, at last GO.
      return phase != Phase::idle && phase != Phase::recording_go && phase != Phase::resuming &&
             phase != Phase::recording_refusal;
    default:
      return true;
  }
}

// Parts that a crash can come between, as simulator_effects.cpp has them; 0: done at once.
size_t steps_of(SourceEffectKind kind) {
  using Do = SourceEffectKind;
  switch (kind) {
    case Do::prepare:
    case Do::copy:
    case Do::record_given_away:
      return 1;
    case Do::freeze:
    case Do::dump:
    case Do::kill_copy:
      return 2;
    case Do::resume_copy:
      return 3;
    case Do::roll_back:
      return 4;
    default:
      return 0;
  }
}

size_t steps_of(DestinationEffectKind kind) {
  using Do = DestinationEffectKind;
  switch (kind) {
    case Do::take_address:
    case Do::restore:
    case Do::record_go:
    case Do::record_refusal:
      return 1;
    case Do::make_slot:
      return 2;
    case Do::resume:
      return 3;
    case Do::discard:
      return 4;
    default:
      return 0;
  }
}

template <typename Kind>
void compare_crashes(Kind kind, const std::array<uint32_t, 4>& crashes, std::string_view side,
                     std::vector<std::string>& uncrashed) {
  for (size_t done = 0; done < steps_of(kind); ++done) {
    if (crashes.at(done) == 0) uncrashed.push_back(fmt::format("{} {}, after {} steps", side, effect_name(kind), done));
  }
}

template <typename Phase, size_t Phases>
void compare_faults(const Coverage::Table<fault_kinds, Phases>& seen, std::string_view side,
                    std::vector<std::string>& unseen) {
  for (size_t fault = 0; fault < fault_kinds; ++fault) {
    for (size_t phase = 0; phase < Phases; ++phase) {
      if (seen.at(fault).at(phase) > 0 || !expected(static_cast<Fault>(fault), static_cast<Phase>(phase))) continue;
      unseen.push_back(fmt::format("{} while {} is in {}", fault_name(static_cast<Fault>(fault)), side,
                                   phase_name(static_cast<Phase>(phase))));
    }
  }
}

}  // namespace

std::string_view fault_name(Fault fault) {
  static constexpr std::array<std::string_view, fault_kinds> names{"source worker crash",
                                                                   "source agent crash",
                                                                   "source reboot",
                                                                   "destination worker crash",
                                                                   "destination agent crash",
                                                                   "destination supervisor crash",
                                                                   "destination reboot",
                                                                   "destination death",
                                                                   "connection loss",
                                                                   "partition",
                                                                   "cancel",
                                                                   "container death",
                                                                   "slow effect",
                                                                   "effect failure",
                                                                   "late message",
                                                                   "doubled query",
                                                                   "doubled message",
                                                                   "overtaken message"};
  return names.at(static_cast<size_t>(fault));
}

std::string_view effect_name(SourceEffectKind kind) {
  static constexpr std::array<std::string_view, source_effects> names{
      "prepare",    "copy",     "stop_copy",    "freeze",        "dump",        "record_given_away",
      "send",       "query",    "kill_copy",    "roll_back",     "resume_copy", "start_timer",
      "stop_timer", "too_late", "finish_moved", "finish_stayed", "finish_lost"};
  return names.at(static_cast<size_t>(kind));
}

std::string_view effect_name(DestinationEffectKind kind) {
  static constexpr std::array<std::string_view, destination_effects> names{
      "make_slot", "take_address", "release_address", "restore",     "record_go",  "resume",         "record_refusal",
      "discard",   "send",         "answer",          "start_timer", "stop_timer", "finish_running", "finish_refused"};
  return names.at(static_cast<size_t>(kind));
}

std::string describe(const SourceEffect& effect) {
  return describe_effect(effect);
}
std::string describe(const DestinationEffect& effect) {
  return describe_effect(effect);
}

void Coverage::count(SourcePhase phase, const SourceEffect& effect) {
  ++source_did.at(static_cast<size_t>(phase)).at(static_cast<size_t>(effect.kind)).at(variant_of(effect));
}
void Coverage::count(DestinationPhase phase, const DestinationEffect& effect) {
  ++destination_did.at(static_cast<size_t>(phase)).at(static_cast<size_t>(effect.kind)).at(variant_of(effect));
}

std::vector<std::string> unseen_effects(const Coverage& coverage, const std::vector<std::string>& exempt) {
  std::set<std::string> can;
  std::set<std::string> did;
  compare<SourceState, SourceEvent, source_phases, source_events>(coverage.source_did, "S", can, did);
  compare<DestinationState, DestinationEvent, destination_phases, destination_events>(coverage.destination_did, "D",
                                                                                      can, did);
  std::vector<std::string> unseen;
  for (const std::string& line : can) {
    const bool exempted = std::ranges::find(exempt, line) != exempt.end();
    if (did.contains(line) == exempted) unseen.push_back(exempted ? "exempt, but seen: " + line : line);
  }
  return unseen;
}

std::vector<std::string> unseen_faults(const Coverage& coverage) {
  std::vector<std::string> unseen;
  compare_faults<SourcePhase>(coverage.faults_by_source, "S", unseen);
  compare_faults<DestinationPhase>(coverage.faults_by_destination, "D", unseen);
  return unseen;
}

std::vector<std::string> uncrashed_effects(const Coverage& coverage) {
  std::vector<std::string> uncrashed;
  for (size_t kind = 0; kind < source_effects; ++kind) {
    compare_crashes(static_cast<SourceEffectKind>(kind), coverage.source_crashes_inside.at(kind), "S", uncrashed);
  }
  for (size_t kind = 0; kind < destination_effects; ++kind) {
    compare_crashes(static_cast<DestinationEffectKind>(kind), coverage.destination_crashes_inside.at(kind), "D",
                    uncrashed);
  }
  return uncrashed;
}

std::string summary(const Coverage& coverage) {
  std::string faults;
  for (size_t fault = 0; fault < fault_kinds; ++fault) {
    faults +=
        fmt::format("{}{} {}", fault == 0 ? "" : ", ", fault_name(static_cast<Fault>(fault)),
                    std::max(sum(coverage.faults_by_source.at(fault)), sum(coverage.faults_by_destination.at(fault))));
  }
  const auto& source = coverage.source_verdicts;
  const auto& destination = coverage.destination_verdicts;
  const auto of = [](const auto& verdicts, size_t verdict) { return verdicts.at(verdict); };
  return fmt::format(
      "{} schedules, {} steps\n  source: moved {}, stayed {}, lost {}, rebooted {}; destination: running {}, refused "
      "{}, "
      "none {}\n  queries answered from the record {}, crashes between effects {}, stale results {}\n  faults: {}\n",
      coverage.schedules, coverage.steps, of(source, 1), of(source, 2), of(source, 3), of(source, 0),
      of(destination, 4), of(destination, 5), of(destination, 0), coverage.queries_answered_from_record,
      coverage.crashes_between_effects, coverage.stale_results, faults);
}

}  // namespace godwit::migration::simulation
