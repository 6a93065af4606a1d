#include "migration/destination_machine.h"

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

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Phase = DestinationPhase;
using Kind = DestinationEventKind;
using Do = DestinationEffectKind;

constexpr std::array before_ready{Phase::preparing, Phase::receiving, Phase::taking_address, Phase::parked,
                                  Phase::restoring};
constexpr std::array after_go{Phase::recording_go, Phase::resuming, Phase::running};

std::vector<Kind> all_kinds() {
  std::vector<Kind> kinds;
  kinds.reserve(simulation::destination_events);
  for (size_t i = 0; i < simulation::destination_events; ++i) kinds.push_back(static_cast<Kind>(i));
  return kinds;
}

std::vector<std::string> effects_of(const DestinationStep& next) {
  std::vector<std::string> names;
  names.reserve(next.effects.size());
  for (const DestinationEffect& effect : next.effects) names.push_back(simulation::describe(effect));
  return names;
}

DestinationStep after(const DestinationState& state, Kind kind, uint32_t epoch = 1, std::string reason = "") {
  return step(state, {.kind = kind, .epoch = epoch, .reason = std::move(reason)});
}

DestinationState in(Phase phase, uint32_t epoch = 1) {
  return {.phase = phase, .epoch = epoch, .reason = ""};
}

bool has(const DestinationStep& next, Do kind) {
  for (const DestinationEffect& effect : next.effects) {
    if (effect.kind == kind) return true;
  }
  return false;
}

bool says(const DestinationStep& next, MessageKind message) {
  for (const DestinationEffect& effect : next.effects) {
    const bool speaks = effect.kind == Do::send || effect.kind == Do::answer;
    if (speaks && effect.message == message) return true;
  }
  return false;
}

std::string where(const DestinationState& state, Kind kind) {
  return std::string(phase_name(state.phase)) + " + " + std::string(event_name(kind));
}

void expect_unchanged(const DestinationState& state, Kind kind, uint32_t epoch) {
  const DestinationStep next = after(state, kind, epoch);
  EXPECT_EQ(next.state.phase, state.phase) << where(state, kind);
  EXPECT_EQ(next.state.epoch, state.epoch) << where(state, kind);
  EXPECT_THAT(effects_of(next), IsEmpty()) << where(state, kind);
}

// A state and whether its timer is running.
struct Situation {
  DestinationState state;
  bool timer = false;
};

// Calls `visit` for every event in every situation that any sequence of events can lead to.
template <typename Visit>
void explore(const Visit& visit) {
  std::vector<Situation> open{{}};
  std::set<std::tuple<Phase, uint32_t, bool>> known;
  while (!open.empty()) {
    const Situation here = open.back();
    open.pop_back();
    for (const Kind kind : all_kinds()) {
      for (uint32_t epoch = 0; epoch <= 3; ++epoch) {
        if (kind == Kind::timer && !here.timer) continue;
        const DestinationStep next = after(here.state, kind, epoch);
        Situation there{.state = next.state, .timer = here.timer && kind != Kind::timer};
        for (const DestinationEffect& effect : next.effects) {
          if (effect.kind == Do::start_timer) there.timer = true;
          if (effect.kind == Do::stop_timer) there.timer = false;
        }
        visit(here, kind, epoch, next, there);
        if (known.insert({there.state.phase, there.state.epoch, there.timer}).second) open.push_back(there);
      }
    }
  }
}

TEST(DestinationMachine, TakesOverStepByStep) {
  DestinationState state;
  const auto then = [&](Kind kind, uint32_t epoch = 0) {
    const DestinationStep next = after(state, kind, epoch);
    state = next.state;
    return effects_of(next);
  };
  EXPECT_THAT(then(Kind::prepare), ElementsAre("make_slot"));
  EXPECT_THAT(then(Kind::slot_made), ElementsAre("send prepared"));
  EXPECT_THAT(then(Kind::take_address, 1), ElementsAre("start_timer restore", "take_address"));
  EXPECT_EQ(state.epoch, 1);
  EXPECT_THAT(then(Kind::address_taken), ElementsAre("send address_taken"));
  EXPECT_THAT(then(Kind::restore, 1), ElementsAre("restore"));
  EXPECT_THAT(then(Kind::restored), ElementsAre("send ready"));
  EXPECT_THAT(then(Kind::go, 1), ElementsAre("stop_timer", "record_go"));
  EXPECT_THAT(then(Kind::recorded), ElementsAre("resume"));
  EXPECT_THAT(then(Kind::resumed), ElementsAre("send running"));
  EXPECT_THAT(then(Kind::pages_placed), ElementsAre("finish_running"));
  EXPECT_EQ(state.phase, Phase::done_running);
}

TEST(DestinationMachine, ResumesOnlyWhatGoWasRecordedOf) {
  explore([](const Situation& here, Kind kind, uint32_t epoch, const DestinationStep& next, const Situation&) {
    if (has(next, Do::resume)) {
      EXPECT_TRUE(here.state.phase == Phase::recording_go && kind == Kind::recorded) << where(here.state, kind);
    }
    if (has(next, Do::record_go)) {
      EXPECT_EQ(here.state.phase, Phase::ready) << where(here.state, kind);
      EXPECT_TRUE(kind == Kind::go || kind == Kind::query) << where(here.state, kind);
      EXPECT_EQ(epoch, here.state.epoch);
    }
  });
}

TEST(DestinationMachine, DiscardsOnAnyFailureBeforeItIsReady) {
  for (const Phase phase : before_ready) {
    for (const Kind kind : {Kind::failed, Kind::peer_lost, Kind::timer, Kind::abort}) {
      const DestinationStep next = after(in(phase), kind);
      EXPECT_EQ(next.state.phase, Phase::discarding) << where(in(phase), kind);
      EXPECT_THAT(effects_of(next), ElementsAre("discard", "start_timer retry"));
      EXPECT_NE(next.state.reason, "");
    }
  }
}

TEST(DestinationMachine, WaitsReadyForAQueryWhenTheConnectionBreaks) {
  const DestinationStep lost = after(in(Phase::ready), Kind::peer_lost);
  EXPECT_EQ(lost.state.phase, Phase::ready);
  EXPECT_THAT(effects_of(lost), ElementsAre("start_timer grace"));
  EXPECT_EQ(after(lost.state, Kind::timer).state.phase, Phase::discarding);
  EXPECT_THAT(effects_of(after(lost.state, Kind::query)), ElementsAre("stop_timer", "record_go", "answer undecided"));
  EXPECT_EQ(after(in(Phase::ready), Kind::abort).state.phase, Phase::discarding);
}

TEST(DestinationMachine, FinishesByItselfWhatHappensAfterGo) {
  for (const Phase phase : after_go) {
    for (const Kind kind : {Kind::peer_lost, Kind::timer, Kind::abort, Kind::go, Kind::release_address, Kind::restore,
                            Kind::take_address}) {
      expect_unchanged(in(phase), kind, 1);
    }
  }
}

TEST(DestinationMachine, NeverDiscardsWhatRuns) {
  explore([](const Situation& here, Kind kind, uint32_t, const DestinationStep& next, const Situation&) {
    const Phase phase = here.state.phase;
    if (phase != Phase::running && phase != Phase::done_running) return;
    EXPECT_TRUE(next.state.phase == Phase::running || next.state.phase == Phase::done_running);
    EXPECT_FALSE(has(next, Do::discard) || has(next, Do::record_refusal)) << where(here.state, kind);
    EXPECT_FALSE(says(next, MessageKind::refused)) << where(here.state, kind);
  });
}

TEST(DestinationMachine, SaysRefusedOnlyWhenNothingIsLeft) {
  explore([](const Situation& here, Kind kind, uint32_t, const DestinationStep& next, const Situation&) {
    if (!says(next, MessageKind::refused)) return;
    const bool discarded = here.state.phase == Phase::discarding && kind == Kind::discarded;
    EXPECT_TRUE(discarded || here.state.phase == Phase::done_refused) << where(here.state, kind);
  });
}

TEST(DestinationMachine, SaysRunningOnlyWhenItRuns) {
  explore([](const Situation& here, Kind kind, uint32_t, const DestinationStep& next, const Situation&) {
    if (!says(next, MessageKind::running)) return;
    EXPECT_TRUE(next.state.phase == Phase::running || next.state.phase == Phase::done_running)
        << where(here.state, kind);
  });
}

TEST(DestinationMachine, RecordsARefusalAfterGoBeforeItDiscards) {
  for (const Phase phase : {Phase::recording_go, Phase::resuming}) {
    const DestinationStep refusing = after(in(phase), Kind::failed, 1, "the cgroup stays frozen");
    EXPECT_EQ(refusing.state.phase, Phase::recording_refusal);
    EXPECT_EQ(refusing.state.reason, "the cgroup stays frozen");
    EXPECT_THAT(effects_of(refusing), ElementsAre("record_refusal", "start_timer retry"));
    const DestinationStep discarding = after(refusing.state, Kind::recorded);
    EXPECT_THAT(effects_of(discarding), ElementsAre("discard", "start_timer retry"));
    const DestinationStep done = after(discarding.state, Kind::discarded);
    EXPECT_EQ(done.state.phase, Phase::done_refused);
    EXPECT_THAT(effects_of(done), ElementsAre("stop_timer", "send refused", "finish_refused"));
  }
}

TEST(DestinationMachine, AnswersAQueryByWhatIsSure) {
  for (size_t i = 0; i < simulation::destination_phases; ++i) {
    const auto phase = static_cast<Phase>(i);
    const DestinationStep next = after(in(phase), Kind::query);
    const bool runs = phase == Phase::running || phase == Phase::done_running;
    const MessageKind answer = runs                           ? MessageKind::running
                               : phase == Phase::done_refused ? MessageKind::refused
                                                              : MessageKind::undecided;
    ASSERT_FALSE(next.effects.empty()) << phase_name(phase);
    EXPECT_EQ(next.effects.back().kind, Do::answer) << phase_name(phase);
    EXPECT_EQ(next.effects.back().message, answer) << phase_name(phase);
    if (phase != Phase::ready) EXPECT_EQ(next.state.phase, phase);
  }
}

TEST(DestinationMachine, ChangesNothingOnTheWordOfAnotherAttempt) {
  for (const uint32_t epoch : {0U, 1U, 3U}) {
    expect_unchanged(in(Phase::taking_address, 2), Kind::release_address, epoch);
    expect_unchanged(in(Phase::parked, 2), Kind::release_address, epoch);
    expect_unchanged(in(Phase::parked, 2), Kind::restore, epoch);
    expect_unchanged(in(Phase::ready, 2), Kind::go, epoch);
    EXPECT_EQ(after(in(Phase::ready, 2), Kind::query, epoch).state.phase, Phase::ready);
  }
  for (const uint32_t epoch : {0U, 1U, 2U}) expect_unchanged(in(Phase::receiving, 2), Kind::take_address, epoch);
}

TEST(DestinationMachine, ReleasesTheAddressForAnotherAttempt) {
  for (const Phase phase : {Phase::taking_address, Phase::parked}) {
    const DestinationStep released = after(in(phase), Kind::release_address);
    EXPECT_EQ(released.state.phase, Phase::receiving);
    EXPECT_THAT(effects_of(released), ElementsAre("stop_timer", "release_address"));
    const DestinationStep again = after(released.state, Kind::take_address, 2);
    EXPECT_EQ(again.state.epoch, 2);
    EXPECT_THAT(effects_of(again), ElementsAre("start_timer restore", "take_address"));
  }
}

TEST(DestinationMachine, TriesToRecordAndDiscardUntilItWorks) {
  const std::map<Phase, const char*> endings{{Phase::recording_refusal, "record_refusal"},
                                             {Phase::discarding, "discard"}};
  for (const auto& [phase, effect] : endings) {
    EXPECT_EQ(after(in(phase), Kind::failed).state.phase, phase);
    EXPECT_THAT(effects_of(after(in(phase), Kind::failed)), ElementsAre("start_timer retry"));
    EXPECT_EQ(after(in(phase), Kind::timer).state.phase, phase);
    EXPECT_THAT(effects_of(after(in(phase), Kind::timer)), ElementsAre(effect, "start_timer retry"));
  }
}

TEST(DestinationMachine, DiscardsAfterACrashBeforeGo) {
  EXPECT_THAT(effects_of(after({}, Kind::restarted)), ElementsAre("discard", "start_timer retry"));
}

TEST(DestinationMachine, RefusesAfterACrashWhatWasStillHeld) {
  const DestinationStep next = after({}, Kind::restarted_held);
  EXPECT_EQ(next.state.phase, Phase::recording_refusal);
  EXPECT_THAT(effects_of(next), ElementsAre("record_refusal", "start_timer retry"));
}

TEST(DestinationMachine, StandsByWhatRanBeforeTheCrash) {
  const DestinationStep next = after({}, Kind::restarted_running);
  EXPECT_EQ(next.state.phase, Phase::done_running);
  EXPECT_THAT(effects_of(next), ElementsAre("finish_running"));
  EXPECT_TRUE(says(after(next.state, Kind::query), MessageKind::running));
}

// Where there is none, either the connection to the source decides (a source that is gone breaks it), or the effect
// under way has a deadline of its own and nothing else may decide.
TEST(DestinationMachine, HasATimerInEveryPhaseThatHoldsSomethingForTheSource) {
  const std::set<Phase> without{Phase::idle,     Phase::preparing, Phase::receiving,    Phase::recording_go,
                                Phase::resuming, Phase::running,   Phase::done_running, Phase::done_refused};
  std::set<Phase> timed;
  explore([&](const Situation&, Kind kind, uint32_t, const DestinationStep& next, const Situation& there) {
    if (without.contains(next.state.phase)) return;
    EXPECT_TRUE(there.timer) << phase_name(next.state.phase) << " after " << event_name(kind);
    timed.insert(next.state.phase);
  });
  EXPECT_EQ(timed.size(), simulation::destination_phases - without.size());
}

TEST(DestinationMachine, LetsNoTimerDecideOnceGoWasSaid) {
  explore([](const Situation&, Kind kind, uint32_t, const DestinationStep& next, const Situation& there) {
    for (const Phase phase : after_go) {
      if (next.state.phase == phase) EXPECT_FALSE(there.timer) << phase_name(phase) << " after " << event_name(kind);
    }
  });
}

TEST(DestinationMachine, EndsOnce) {
  explore([](const Situation& here, Kind kind, uint32_t, const DestinationStep& next, const Situation&) {
    const auto done = [](Phase phase) { return phase == Phase::done_running || phase == Phase::done_refused; };
    const bool ends = done(next.state.phase) && !done(here.state.phase);
    EXPECT_EQ(has(next, Do::finish_running) || has(next, Do::finish_refused), ends) << where(here.state, kind);
    if (done(here.state.phase)) EXPECT_EQ(next.state.phase, here.state.phase);
  });
}

}  // namespace
}  // namespace godwit::migration
