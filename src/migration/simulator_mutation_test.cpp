// Hand-overs that are broken on purpose. The simulator must find each of them, and for the right reason: this is what
// shows that its silence about the real machines means something.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "migration/simulator.h"

namespace godwit::migration::simulation {
namespace {

using S = SourcePhase;
using D = DestinationPhase;
using SourceDo = SourceEffectKind;
using DestinationDo = DestinationEffectKind;
using SourceSaw = SourceEventKind;
using DestinationSaw = DestinationEventKind;

constexpr uint64_t schedules_for_most = 20'000;
// Where several faults have to meet.
constexpr uint64_t schedules_for_rare = 200'000;

struct Mutation {
  const char* name;
  const char* broken_promise;  // a regular expression for what the simulator must say
  SimulatorOptions options;
  uint64_t schedules_max = schedules_for_most;
};

void PrintTo(const Mutation& mutation, std::ostream* out) {
  *out << mutation.name;
}

SourceStep go_to(const SourceState& state, S phase, std::vector<SourceEffect> effects) {
  SourceStep next{.state = state, .effects = std::move(effects)};
  next.state.phase = phase;
  return next;
}

DestinationStep go_to(const DestinationState& state, D phase, std::vector<DestinationEffect> effects) {
  DestinationStep next{.state = state, .effects = std::move(effects)};
  next.state.phase = phase;
  return next;
}

SourceStep roll_back(const SourceState& state) {
  return go_to(state, S::rolling_back,
               {{.kind = SourceDo::roll_back}, {.kind = SourceDo::start_timer, .timer = SourceTimer::retry}});
}

SourceStep kill(const SourceState& state) {
  return go_to(state, S::killing,
               {{.kind = SourceDo::kill_copy}, {.kind = SourceDo::start_timer, .timer = SourceTimer::retry}});
}

DestinationStep discard(const DestinationState& state) {
  return go_to(
      state, D::discarding,
      {{.kind = DestinationDo::discard}, {.kind = DestinationDo::start_timer, .timer = DestinationTimer::retry}});
}

// The source.

SourceStep thaws_when_the_peer_is_lost(const SourceState& state, const SourceEvent& event) {
  if (state.phase == S::given_away && event.kind == SourceSaw::peer_lost) return roll_back(state);
  return step(state, event);
}

SourceStep thaws_when_no_answer_comes(const SourceState& state, const SourceEvent& event) {
  if (state.phase == S::given_away && event.kind == SourceSaw::timer) return roll_back(state);
  return step(state, event);
}

SourceStep thaws_when_cancelled_too_late(const SourceState& state, const SourceEvent& event) {
  if (state.phase == S::given_away && event.kind == SourceSaw::cancel) return roll_back(state);
  return step(state, event);
}

SourceStep thaws_after_a_reboot(const SourceState& state, const SourceEvent& event) {
  if (state.phase == S::given_away && event.kind == SourceSaw::peer_rebooted) return roll_back(state);
  return step(state, event);
}

SourceStep kills_before_running(const SourceState& state, const SourceEvent& event) {
  if (state.phase != S::recording || event.kind != SourceSaw::recorded) return step(state, event);
  SourceStep next = kill(state);
  next.effects.insert(next.effects.begin(), {.kind = SourceDo::send, .message = MessageKind::go});
  return next;
}

SourceStep kills_what_was_refused(const SourceState& state, const SourceEvent& event) {
  if (state.phase == S::given_away && event.kind == SourceSaw::refused) return kill(state);
  return step(state, event);
}

SourceStep says_go_without_a_record(const SourceState& state, const SourceEvent& event) {
  if (state.phase != S::restoring || event.kind != SourceSaw::ready) return step(state, event);
  return go_to(state, S::given_away,
               {{.kind = SourceDo::send, .message = MessageKind::go},
                {.kind = SourceDo::start_timer, .timer = SourceTimer::ask}});
}

SourceStep ignores_its_record(const SourceState& state, const SourceEvent& event) {
  if (event.kind == SourceSaw::restarted_given_away) return step(state, {.kind = SourceSaw::restarted});
  return step(state, event);
}

SourceStep rolls_back_while_recording(const SourceState& state, const SourceEvent& event) {
  if (state.phase == S::recording && event.kind == SourceSaw::cancel) return roll_back(state);
  return step(state, event);
}

SourceStep never_asks(const SourceState& state, const SourceEvent& event) {
  SourceStep next = step(state, event);
  std::erase_if(next.effects, [](const SourceEffect& effect) { return effect.kind == SourceDo::query; });
  return next;
}

SourceStep lets_forget_before_the_end_is_written(const SourceState& state, const SourceEvent& event) {
  SourceStep next = step(state, event);
  const auto forget = std::ranges::find_if(next.effects, [](const SourceEffect& effect) {
    return effect.kind == SourceDo::send && effect.message == MessageKind::forget;
  });
  if (forget != next.effects.end()) std::rotate(next.effects.begin(), forget, forget + 1);
  return next;
}

SourceStep dumps_before_packets_are_held(const SourceState& state, const SourceEvent& event) {
  if (state.phase != S::freezing || event.kind != SourceSaw::frozen) return step(state, event);
  return go_to(state, S::dumping,
               {{.kind = SourceDo::send, .message = MessageKind::take_address}, {.kind = SourceDo::dump}});
}

SourceStep asks_to_restore_before_the_dump(const SourceState& state, const SourceEvent& event) {
  if (state.phase != S::yielding || event.kind != SourceSaw::address_taken) return step(state, event);
  return go_to(state, S::restoring, {{.kind = SourceDo::send, .message = MessageKind::restore}});
}

SourceStep source_ignores_epochs(const SourceState& state, const SourceEvent& event) {
  SourceEvent blind = event;
  blind.epoch = state.epoch;
  return step(state, blind);
}

SourceStep gives_up_rolling_back(const SourceState& state, const SourceEvent& event) {
  if (state.phase != S::rolling_back || event.kind != SourceSaw::failed) return step(state, event);
  return go_to(state, S::done, {{.kind = SourceDo::finish_stayed}});
}

SourceStep leaves_the_frozen_copy(const SourceState& state, const SourceEvent& event) {
  if (state.phase != S::given_away || event.kind != SourceSaw::running) return step(state, event);
  return go_to(state, S::done, {{.kind = SourceDo::stop_timer}, {.kind = SourceDo::finish_moved}});
}

SourceStep thaws_what_the_operator_ends(const SourceState& state, const SourceEvent& event) {
  if (event.kind == SourceSaw::abandoned_end) return step(state, {.kind = SourceSaw::abandoned_keep});
  return step(state, event);
}

SourceStep ends_what_the_operator_keeps(const SourceState& state, const SourceEvent& event) {
  if (event.kind == SourceSaw::abandoned_keep) return step(state, {.kind = SourceSaw::abandoned_end});
  return step(state, event);
}

SourceStep does_not_hear_the_operator(const SourceState& state, const SourceEvent& event) {
  if (event.kind == SourceSaw::abandoned_keep || event.kind == SourceSaw::abandoned_end) {
    return {.state = state, .effects = {}};
  }
  return step(state, event);
}

// The destination.

DestinationStep resumes_without_go(const DestinationState& state, const DestinationEvent& event) {
  if (state.phase != D::restoring || event.kind != DestinationSaw::restored) return step(state, event);
  return go_to(state, D::recording_go, {{.kind = DestinationDo::record_go}});
}

DestinationStep resumes_without_a_record(const DestinationState& state, const DestinationEvent& event) {
  if (state.phase != D::ready || event.kind != DestinationSaw::go) return step(state, event);
  return go_to(state, D::resuming, {{.kind = DestinationDo::stop_timer}, {.kind = DestinationDo::resume}});
}

DestinationStep refuses_while_undecided(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step(state, event);
  for (DestinationEffect& effect : next.effects) {
    if (effect.message == MessageKind::undecided) effect.message = MessageKind::refused;
  }
  return next;
}

DestinationStep says_running_while_undecided(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step(state, event);
  for (DestinationEffect& effect : next.effects) {
    if (effect.message == MessageKind::undecided) effect.message = MessageKind::running;
  }
  return next;
}

// Every comparison of epochs comes out as if the message belonged to the attempt under way.
DestinationStep destination_ignores_epochs(const DestinationState& state, const DestinationEvent& event) {
  DestinationState blind = state;
  blind.epoch = event.kind == DestinationSaw::take_address ? event.epoch - 1 : event.epoch;
  DestinationStep next = step(blind, event);
  if (next.state.epoch == blind.epoch) next.state.epoch = state.epoch;
  return next;
}

DestinationStep discards_after_go(const DestinationState& state, const DestinationEvent& event) {
  if (state.phase == D::running && event.kind == DestinationSaw::peer_lost) return discard(state);
  return step(state, event);
}

DestinationStep discards_what_ran_before_the_crash(const DestinationState& state, const DestinationEvent& event) {
  if (event.kind == DestinationSaw::restarted_running) return step(state, {.kind = DestinationSaw::restarted});
  return step(state, event);
}

DestinationStep resumes_after_the_crash(const DestinationState& state, const DestinationEvent& event) {
  if (event.kind != DestinationSaw::restarted_held) return step(state, event);
  return go_to(state, D::resuming, {{.kind = DestinationDo::resume}});
}

DestinationStep refuses_without_a_record(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step(state, event);
  return next.state.phase == D::recording_refusal ? discard(next.state) : next;
}

DestinationStep refuses_before_it_discards(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step(state, event);
  if (next.state.phase == D::discarding && state.phase != D::discarding) {
    next.effects.insert(next.effects.begin(), {.kind = DestinationDo::send, .message = MessageKind::refused});
  }
  return next;
}

DestinationStep ends_without_discarding(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step(state, event);
  if (next.state.phase != D::discarding) return next;
  return go_to(next.state, D::done_refused,
               {{.kind = DestinationDo::stop_timer}, {.kind = DestinationDo::finish_refused}});
}

DestinationStep waits_for_ever(const DestinationState& state, const DestinationEvent& event) {
  if (state.phase == D::ready && event.kind == DestinationSaw::timer) return {.state = state, .effects = {}};
  return step(state, event);
}

DestinationStep keeps_packets_of_a_failed_attempt(const DestinationState& state, const DestinationEvent& event) {
  DestinationStep next = step(state, event);
  std::erase_if(next.effects,
                [](const DestinationEffect& effect) { return effect.kind == DestinationDo::release_address; });
  return next;
}

DestinationStep restores_unasked(const DestinationState& state, const DestinationEvent& event) {
  if (state.phase != D::taking_address || event.kind != DestinationSaw::address_taken) return step(state, event);
  return go_to(
      state, D::restoring,
      {{.kind = DestinationDo::send, .message = MessageKind::address_taken}, {.kind = DestinationDo::restore}});
}

std::vector<Mutation> mutations() {
  return {
      {"SourceThawsWhenThePeerIsLost", "thawed what it had given away", {.source = thaws_when_the_peer_is_lost}},
      {"SourceThawsWhenNoAnswerComes", "thawed what it had given away", {.source = thaws_when_no_answer_comes}},
      {"SourceThawsWhenCancelledTooLate", "thawed what it had given away", {.source = thaws_when_cancelled_too_late}},
      {"SourceThawsAfterAReboot", "the source thawed", {.source = thaws_after_a_reboot}},
      {"SourceKillsBeforeRunning", "which nobody else had run", {.source = kills_before_running}},
      {"SourceKillsWhatWasRefused", "which nobody else had run", {.source = kills_what_was_refused}},
      {"SourceSaysGoWithoutARecord", "thawed what it had given away", {.source = says_go_without_a_record}},
      {"SourceIgnoresItsRecord",
       "thawed what it had given away|stayed, but it was moved",
       {.source = ignores_its_record}},
      {"SourceRollsBackWhileRecording", "thawed what it had given away", {.source = rolls_back_while_recording}},
      {"SourceNeverAsks", "session was left unfinished|did not end", {.source = never_asks}},
      {"SourceLetsForgetTooEarly", "REFUSED while it ran", {.source = lets_forget_before_the_end_is_written}},
      {"SourceDumpsBeforePacketsAreHeld", "dropped packets", {.source = dumps_before_packets_are_held}},
      {"SourceAsksToRestoreBeforeTheDump", "had not dumped", {.source = asks_to_restore_before_the_dump}},
      {"SourceIgnoresEpochs",
       "dropped packets|took the address unasked",
       {.source = source_ignores_epochs},
       schedules_for_rare},
      {"SourceGivesUpRollingBack", "copy was left frozen|no copy runs", {.source = gives_up_rolling_back}},
      {"SourceLeavesTheFrozenCopy", "copy was left frozen", {.source = leaves_the_frozen_copy}},
      {"SourceThawsWhatTheOperatorEnds", "told it to end", {.source = thaws_what_the_operator_ends}},
      {"SourceEndsWhatTheOperatorKeeps", "told it to keep", {.source = ends_what_the_operator_keeps}},
      {"SourceDoesNotHearTheOperator", "did not end", {.source = does_not_hear_the_operator}},
      {"OperatorGivesUpALivingDestination", "two copies", {.contract = {.operator_is_sure = false}}},
      {"DestinationResumesWithoutGo", "had not been given away", {.destination = resumes_without_go}},
      {"DestinationResumesWithoutARecord", "before it had recorded GO", {.destination = resumes_without_a_record}},
      {"DestinationRefusesWhileUndecided", "said REFUSED while", {.destination = refuses_while_undecided}},
      {"DestinationSaysRunningWhileUndecided", "said RUNNING of", {.destination = says_running_while_undecided}},
      {"DestinationIgnoresEpochs", "the destination", {.destination = destination_ignores_epochs}, schedules_for_rare},
      {"DestinationDiscardsAfterGo", "discarded a running container", {.destination = discards_after_go}},
      {"DestinationDiscardsWhatRan",
       "discarded a running|says refused, it ran",
       {.destination = discards_what_ran_before_the_crash}},
      {"DestinationResumesAfterTheCrash", "pages had died", {.destination = resumes_after_the_crash}},
      {"DestinationRefusesWithoutARecord",
       "never run|says it ran",
       {.destination = refuses_without_a_record},
       schedules_for_rare},
      {"DestinationRefusesBeforeItDiscards", "still had a copy", {.destination = refuses_before_it_discards}},
      {"DestinationEndsWithoutDiscarding", "left", {.destination = ends_without_discarding}},
      {"DestinationWaitsForEver", "left", {.destination = waits_for_ever}},
      {"DestinationKeepsParkedPackets", "still parked", {.destination = keeps_packets_of_a_failed_attempt}},
      {"DestinationRestoresUnasked", "had not completed", {.destination = restores_unasked}},
      {"ExecutorCallsAWrittenRecordFailed",
       "thawed what it had given away",
       {.contract = {.failed_record_is_none = false}}},
      {"ExecutorKeepsTheRecordWhenRollingBack",
       "killed a copy that was running",
       {.contract = {.takes_back_record = false}},
       schedules_for_rare},
      {"ExecutorCallsAThawFailed",
       "discarded a running container|stayed, but it was moved",
       {.contract = {.failed_resume_is_held = false}}},
      {"ExecutorDiscardsBehindAnOpenGate", "behind an open gate", {.contract = {.discards_silently = false}}},
      {"ExecutorForgetsParkedPackets", "parked", {.contract = {.settles_parked = false}}},
  };
}

class SimulatorMutation : public ::testing::TestWithParam<Mutation> {};

TEST_P(SimulatorMutation, IsFound) {
  Coverage coverage;
  const Failure failure = find_violation(GetParam().options, 1, GetParam().schedules_max, coverage);
  ASSERT_TRUE(failure.found) << "not in " << failure.schedules << " schedules";
  RecordProperty("schedules", static_cast<int>(failure.schedules));
  EXPECT_THAT(failure.report.substr(0, failure.report.find('\n')), ::testing::ContainsRegex(GetParam().broken_promise));
}

INSTANTIATE_TEST_SUITE_P(Each, SimulatorMutation, ::testing::ValuesIn(mutations()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace godwit::migration::simulation
