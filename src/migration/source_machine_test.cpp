#include "migration/source_machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "migration/simulator_coverage.h"

namespace godwit::migration {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Phase = SourcePhase;
using Kind = SourceEventKind;
using Do = SourceEffectKind;

constexpr std::array before_go{Phase::preparing, Phase::precopy,  Phase::freezing, Phase::yielding,
                               Phase::dumping,   Phase::resuming, Phase::restoring};
constexpr std::array failures{Kind::failed, Kind::peer_lost, Kind::timer,
                              Kind::cancel, Kind::refused,   Kind::peer_rebooted};

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds;
  kinds.reserve(simulation::source_events);
  for (size_t i = 0; i < simulation::source_events; ++i) kinds.push_back(static_cast<Kind>(i));
  return kinds;
}

std::vector<std::string> effects_of(const SourceStep& next) {
  std::vector<std::string> names;
  names.reserve(next.effects.size());
  for (const SourceEffect& effect : next.effects) names.push_back(simulation::describe(effect));
  return names;
}

bool has(const SourceStep& next, Do kind) {
  for (const SourceEffect& effect : next.effects) {
    if (effect.kind == kind) return true;
  }
  return false;
}

std::string where(const SourceState& state, const SourceEvent& event) {
  return std::string(phase_name(state.phase)) + " + " + std::string(event_name(event.kind));
}

void expect_unchanged(const SourceState& state, const SourceEvent& event) {
  const SourceStep next = step(state, event);
  EXPECT_EQ(next.state.phase, state.phase) << where(state, event);
  EXPECT_EQ(next.state.epoch, state.epoch) << where(state, event);
  EXPECT_EQ(next.state.reason, state.reason) << where(state, event);
  EXPECT_THAT(effects_of(next), IsEmpty()) << where(state, event);
}

// A state and whether its timer is running.
struct Situation {
  SourceState state;
  bool timer = false;
};

// Calls `visit` for every event in every situation that any sequence of events can lead to.
template <typename Visit>
void explore(const Visit& visit) {
  std::vector<Situation> open{{}};
  std::set<std::tuple<Phase, uint32_t, bool, bool, bool>> known;
  while (!open.empty()) {
    const Situation here = open.back();
    open.pop_back();
    for (const Kind kind : all_kinds()) {
      for (uint32_t epoch = 0; epoch <= freeze_attempts_max + 1; ++epoch) {
        if (kind == Kind::timer && !here.timer) continue;
        const SourceEvent event{.kind = kind, .epoch = epoch, .reason = ""};
        const SourceStep next = step(here.state, event);
        Situation there{.state = next.state, .timer = here.timer && kind != Kind::timer};
        for (const SourceEffect& effect : next.effects) {
          if (effect.kind == Do::start_timer) there.timer = true;
          if (effect.kind == Do::stop_timer) there.timer = false;
        }
        visit(here, event, next, there);
        const SourceState& state = there.state;
        if (known.insert({state.phase, state.epoch, state.was_frozen, state.peer_died, there.timer}).second) {
          open.push_back(there);
        }
      }
    }
  }
}

TEST(SourceMachine, HandsOverStepByStep) {
  SourceState state;
  const auto after = [&](Kind kind, uint32_t epoch = 0) {
    const SourceStep next = step(state, {.kind = kind, .epoch = epoch, .reason = ""});
    state = next.state;
    return effects_of(next);
  };
  EXPECT_THAT(after(Kind::start), ElementsAre("start_timer prepare", "prepare"));
  EXPECT_THAT(after(Kind::prepared), ElementsAre("start_timer copy", "copy"));
  EXPECT_FALSE(state.was_frozen);
  EXPECT_THAT(after(Kind::converged), ElementsAre("start_timer freeze", "freeze"));
  EXPECT_TRUE(state.was_frozen);
  EXPECT_EQ(state.epoch, 1);
  EXPECT_THAT(after(Kind::frozen), ElementsAre("send take_address"));
  EXPECT_THAT(after(Kind::address_taken, 1), ElementsAre("dump"));
  EXPECT_THAT(after(Kind::dumped), ElementsAre("send restore"));
  EXPECT_THAT(after(Kind::ready, 1), ElementsAre("record_given_away"));
  EXPECT_THAT(after(Kind::recorded), ElementsAre("send go", "start_timer ask"));
  EXPECT_THAT(after(Kind::running, 1), ElementsAre("kill_copy", "start_timer retry"));
  EXPECT_THAT(after(Kind::killed), ElementsAre("stop_timer", "finish_moved", "send forget"));
  EXPECT_EQ(state.phase, Phase::done);
  EXPECT_EQ(state.reason, "");
}

TEST(SourceMachine, GivesTheContainerBackOnAnyFailureBeforeGo) {
  for (const Phase phase : before_go) {
    for (const Kind kind : failures) {
      const SourceState state{.phase = phase, .epoch = 1, .reason = ""};
      const SourceStep next = step(state, {.kind = kind, .epoch = 1, .reason = ""});
      EXPECT_EQ(next.state.phase, Phase::rolling_back) << where(state, {.kind = kind, .reason = ""});
      EXPECT_THAT(effects_of(next), ElementsAre("stop_copy", "roll_back", "send abort", "start_timer retry"));
      EXPECT_NE(next.state.reason, "");
    }
  }
}

TEST(SourceMachine, TellsTheReasonThatItWasGiven) {
  const SourceStep next = step({.phase = Phase::dumping, .epoch = 1, .reason = ""},
                               {.kind = Kind::failed, .epoch = 1, .reason = "an io_uring is open"});
  EXPECT_EQ(next.state.reason, "an io_uring is open");
}

TEST(SourceMachine, DoesNothingIrreversibleBeforeGo) {
  explore([](const Situation& here, const SourceEvent& event, const SourceStep& next, const Situation&) {
    const Phase phase = here.state.phase;
    const std::string at = where(here.state, event);
    if (has(next, Do::kill_copy)) EXPECT_TRUE(phase == Phase::given_away || phase == Phase::killing) << at;
    if (has(next, Do::finish_moved) || has(next, Do::finish_lost)) EXPECT_EQ(phase, Phase::killing) << at;
    for (const SourceEffect& effect : next.effects) {
      if (effect.kind != Do::send || effect.message != MessageKind::go) continue;
      EXPECT_TRUE(phase == Phase::recording && event.kind == Kind::recorded) << at;
    }
    if (has(next, Do::query)) EXPECT_TRUE(phase == Phase::given_away || event.kind == Kind::restarted_given_away) << at;
  });
}

TEST(SourceMachine, NeverThawsByItselfAfterGo) {
  explore([](const Situation& here, const SourceEvent& event, const SourceStep& next, const Situation&) {
    EXPECT_FALSE(here.state.phase == Phase::killing && has(next, Do::roll_back)) << where(here.state, event);
    if (here.state.phase != Phase::given_away || event.kind == Kind::refused) return;
    if (event.kind == Kind::abandoned_keep) return;  // not by itself
    EXPECT_FALSE(has(next, Do::roll_back) || has(next, Do::resume_copy)) << where(here.state, event);
    EXPECT_TRUE(next.state.phase == Phase::given_away || next.state.phase == Phase::killing);
  });
}

TEST(SourceMachine, GivesTheContainerBackWhenItIsRefusedAfterGo) {
  const SourceStep next = step({.phase = Phase::given_away, .epoch = 1, .was_frozen = true, .reason = ""},
                               {.kind = Kind::refused, .epoch = 1, .reason = "destination: out of memory"});
  EXPECT_EQ(next.state.phase, Phase::rolling_back);
  EXPECT_THAT(effects_of(next), ElementsAre("roll_back", "start_timer retry"));
  EXPECT_EQ(next.state.reason, "destination: out of memory");
  EXPECT_THAT(effects_of(step(next.state, {.kind = Kind::rolled_back, .reason = ""})),
              ElementsAre("stop_timer", "finish_stayed"));
}

// Before GO there is nothing to abandon, and once its end is known nothing to decide.
TEST(SourceMachine, ObeysTheOperatorAboutADeadDestinationOnlyBetweenGoAndItsAnswer) {
  for (size_t phase = 0; phase < simulation::source_phases; ++phase) {
    for (const Kind word : {Kind::abandoned_keep, Kind::abandoned_end}) {
      const SourceState state{.phase = static_cast<Phase>(phase), .epoch = 1, .reason = ""};
      if (state.phase != Phase::given_away) expect_unchanged(state, {.kind = word, .reason = ""});
    }
  }
  const SourceState waiting{.phase = Phase::given_away, .epoch = 1, .was_frozen = true, .reason = ""};
  const SourceStep kept = step(waiting, {.kind = Kind::abandoned_keep, .reason = ""});
  EXPECT_THAT(effects_of(kept), ElementsAre("roll_back", "start_timer retry"));
  EXPECT_NE(kept.state.reason, "");
  EXPECT_THAT(effects_of(step(kept.state, {.kind = Kind::rolled_back, .reason = ""})), Contains("finish_stayed"));
  const SourceStep ended = step(waiting, {.kind = Kind::abandoned_end, .reason = ""});
  EXPECT_THAT(effects_of(ended), ElementsAre("kill_copy", "start_timer retry"));
  EXPECT_NE(ended.state.reason, "");
  EXPECT_THAT(effects_of(step(ended.state, {.kind = Kind::killed, .reason = ""})), Contains("finish_lost"));
}

TEST(SourceMachine, KillsItsCopyOnlyWhenTheOtherRunsOrDiedWithItsNode) {
  for (const Kind kind : all_kinds()) {
    const SourceStep next = step({.phase = Phase::given_away, .epoch = 1, .reason = ""}, {.kind = kind, .reason = ""});
    EXPECT_EQ(has(next, Do::kill_copy),
              kind == Kind::running || kind == Kind::peer_rebooted || kind == Kind::abandoned_end)
        << event_name(kind);
  }
}

TEST(SourceMachine, CallsAContainerLostThatDiedWithTheDestinationsNode) {
  const SourceStep killing = step({.phase = Phase::given_away, .epoch = 1, .reason = ""},
                                  {.kind = Kind::peer_rebooted, .epoch = 0, .reason = ""});
  EXPECT_NE(killing.state.reason, "");
  EXPECT_THAT(effects_of(step(killing.state, {.kind = Kind::killed, .reason = ""})), Contains("finish_lost"));
}

TEST(SourceMachine, AsksAgainAndAgainAfterGo) {
  const SourceState state{.phase = Phase::given_away, .epoch = 1, .reason = ""};
  for (const Kind kind : {Kind::peer_lost, Kind::timer}) {
    const SourceStep next = step(state, {.kind = kind, .reason = ""});
    EXPECT_EQ(next.state.phase, Phase::given_away);
    EXPECT_THAT(effects_of(next), ElementsAre("query", "start_timer ask"));
  }
}

TEST(SourceMachine, WaitsForTheRecordsOutcomeWhateverComes) {
  const SourceState state{.phase = Phase::recording, .epoch = 1, .reason = ""};
  for (const Kind kind : all_kinds()) {
    if (kind == Kind::recorded || kind == Kind::failed) continue;
    expect_unchanged(state, {.kind = kind, .epoch = 1, .reason = ""});
  }
  EXPECT_EQ(step(state, {.kind = Kind::failed, .reason = ""}).state.phase, Phase::rolling_back);
}

TEST(SourceMachine, LetsTheDestinationForgetOnlyAfterTheEndIsWritten) {
  for (const bool peer_died : {false, true}) {
    const auto effects = effects_of(step({.phase = Phase::killing, .epoch = 1, .peer_died = peer_died, .reason = ""},
                                         {.kind = Kind::killed, .reason = ""}));
    ASSERT_EQ(effects.size(), 3);
    EXPECT_THAT(effects[1], ::testing::StartsWith("finish_"));
    EXPECT_EQ(effects[2], "send forget");
  }
}

TEST(SourceMachine, ChangesNothingOnTheWordOfAnotherAttempt) {
  for (const uint32_t epoch : {0U, 1U, 3U}) {
    expect_unchanged({.phase = Phase::yielding, .epoch = 2, .reason = ""},
                     {.kind = Kind::address_taken, .epoch = epoch, .reason = ""});
    expect_unchanged({.phase = Phase::restoring, .epoch = 2, .reason = ""},
                     {.kind = Kind::ready, .epoch = epoch, .reason = ""});
  }
}

TEST(SourceMachine, ChangesNothingOnWordsThatComeLateOrTwice) {
  const std::map<Phase, std::vector<Kind>> meaningless{
      {Phase::precopy, {Kind::prepared, Kind::address_taken, Kind::ready, Kind::running, Kind::frozen, Kind::dumped}},
      {Phase::freezing, {Kind::converged, Kind::address_taken, Kind::ready, Kind::running, Kind::dumped}},
      {Phase::yielding, {Kind::frozen, Kind::ready, Kind::running, Kind::recorded}},
      {Phase::dumping, {Kind::address_taken, Kind::frozen, Kind::ready, Kind::running}},
      {Phase::restoring, {Kind::dumped, Kind::address_taken, Kind::running, Kind::recorded, Kind::killed}},
      {Phase::given_away, {Kind::ready, Kind::recorded, Kind::failed, Kind::killed, Kind::rolled_back}},
      {Phase::killing, {Kind::running, Kind::refused, Kind::peer_lost, Kind::peer_rebooted, Kind::rolled_back}},
      {Phase::rolling_back, {Kind::running, Kind::refused, Kind::peer_lost, Kind::ready, Kind::cancel, Kind::killed}},
  };
  for (const auto& [phase, kinds] : meaningless) {
    for (const Kind kind : kinds) {
      expect_unchanged({.phase = phase, .epoch = 1, .reason = ""}, {.kind = kind, .epoch = 1, .reason = ""});
    }
  }
}

TEST(SourceMachine, TriesAgainWhenTheDumpFailedInPassing) {
  const SourceStep resuming =
      step({.phase = Phase::dumping, .epoch = 1, .reason = ""}, {.kind = Kind::failed_transient, .reason = ""});
  EXPECT_EQ(resuming.state.phase, Phase::resuming);
  EXPECT_THAT(effects_of(resuming), ElementsAre("resume_copy", "send release_address", "start_timer retry"));
  const SourceStep copying = step(resuming.state, {.kind = Kind::rolled_back, .reason = ""});
  EXPECT_THAT(effects_of(copying), ElementsAre("start_timer copy", "copy"));
  const SourceStep frozen = step(copying.state, {.kind = Kind::converged, .reason = ""});
  EXPECT_EQ(frozen.state.epoch, 2);
}

TEST(SourceMachine, FreezesALimitedNumberOfTimes) {
  const SourceStep next = step({.phase = Phase::dumping, .epoch = freeze_attempts_max, .reason = ""},
                               {.kind = Kind::failed_transient, .reason = ""});
  EXPECT_EQ(next.state.phase, Phase::rolling_back);
  explore([](const Situation&, const SourceEvent&, const SourceStep& step_taken, const Situation&) {
    EXPECT_LE(step_taken.state.epoch, freeze_attempts_max);
  });
}

TEST(SourceMachine, TriesToKillOrThawUntilItWorks) {
  const std::map<Phase, const char*> endings{{Phase::killing, "kill_copy"}, {Phase::rolling_back, "roll_back"}};
  for (const auto& [phase, effect] : endings) {
    const SourceState state{.phase = phase, .epoch = 1, .reason = ""};
    const SourceStep failed = step(state, {.kind = Kind::failed, .reason = ""});
    EXPECT_EQ(failed.state.phase, phase);
    EXPECT_THAT(effects_of(failed), ElementsAre("start_timer retry"));
    const SourceStep again = step(state, {.kind = Kind::timer, .reason = ""});
    EXPECT_EQ(again.state.phase, phase);
    EXPECT_THAT(effects_of(again), ElementsAre(effect, "start_timer retry"));
  }
}

TEST(SourceMachine, SaysThatAWishToCancelCameTooLate) {
  for (const Phase phase : {Phase::given_away, Phase::killing, Phase::done}) {
    const SourceStep next = step({.phase = phase, .epoch = 1, .reason = ""}, {.kind = Kind::cancel, .reason = ""});
    EXPECT_EQ(next.state.phase, phase);
    EXPECT_THAT(effects_of(next), ElementsAre("too_late"));
  }
}

TEST(SourceMachine, ThawsAfterACrashThatCameBeforeTheRecord) {
  const SourceStep next = step({}, {.kind = Kind::restarted, .reason = ""});
  EXPECT_EQ(next.state.phase, Phase::rolling_back);
  EXPECT_THAT(effects_of(next), ElementsAre("roll_back", "start_timer retry"));
  EXPECT_NE(next.state.reason, "");
}

TEST(SourceMachine, AsksAfterACrashThatCameAfterTheRecord) {
  const SourceStep next = step({.epoch = 2, .reason = ""}, {.kind = Kind::restarted_given_away, .reason = ""});
  EXPECT_EQ(next.state.phase, Phase::given_away);
  EXPECT_EQ(next.state.epoch, 2);
  EXPECT_THAT(effects_of(next), ElementsAre("query", "start_timer ask"));
}

TEST(SourceMachine, HasATimerInEveryPhaseThatWaits) {
  std::set<Phase> timed;
  explore([&](const Situation&, const SourceEvent& event, const SourceStep& next, const Situation& there) {
    const Phase phase = next.state.phase;
    // A record is written or fails at once; nothing else may decide then.
    if (phase == Phase::idle || phase == Phase::recording || phase == Phase::done) return;
    EXPECT_TRUE(there.timer) << phase_name(phase) << " after " << event_name(event.kind);
    timed.insert(phase);
  });
  EXPECT_EQ(timed.size(), simulation::source_phases - 3);
}

TEST(SourceMachine, EndsOnceAndWithItsTimerStopped) {
  explore([](const Situation& here, const SourceEvent& event, const SourceStep& next, const Situation& there) {
    const bool finishes = has(next, Do::finish_moved) || has(next, Do::finish_stayed) || has(next, Do::finish_lost);
    const bool ends = next.state.phase == Phase::done && here.state.phase != Phase::done;
    EXPECT_EQ(finishes, ends) << where(here.state, event);
    if (next.state.phase == Phase::done) EXPECT_FALSE(there.timer);
    if (here.state.phase == Phase::done) EXPECT_EQ(next.state.phase, Phase::done);
  });
}

TEST(SourceMachine, SaysWhyWheneverTheContainerStays) {
  explore([](const Situation&, const SourceEvent& event, const SourceStep& next, const Situation&) {
    if (next.state.phase == Phase::rolling_back) EXPECT_NE(next.state.reason, "") << event_name(event.kind);
    if (has(next, Do::finish_moved)) EXPECT_EQ(next.state.reason, "");
  });
}

}  // namespace
}  // namespace godwit::migration
