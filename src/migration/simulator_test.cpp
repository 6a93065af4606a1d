// The real machines under every fault, and what the simulator must be for that to mean something: it repeats itself,
// and it gets everywhere.
#include "migration/simulator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "migration/simulator_world.h"

namespace godwit::migration::simulation {
namespace {

using ::testing::IsEmpty;

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(undefined_behavior_sanitizer)
constexpr uint64_t schedules_default = 20'000;
#else
constexpr uint64_t schedules_default = 1'000'000;
#endif

// Enough to have been everywhere.
constexpr uint64_t schedules_for_coverage = 400'000;
// Tests among which the schedules are shared out, to run at the same time.
constexpr uint64_t shares = 2;

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const uint64_t number = std::strtoull(text, &end, 10);
  if (*end != '\0') ADD_FAILURE() << variable << "=" << text << " is not a number";
  return number;
}

std::string how_to_play(uint64_t seed) {
  return fmt::format(
      "again: GODWIT_SEED={} GODWIT_SCHEDULES=1 build/release/bin/migration_test "
      "--gtest_filter='*KeepsEveryPromise*'\n",
      seed);
}

// What the code can do in answer to events that cannot come.
std::vector<std::string> unreachable_effects() {
  std::vector<std::string> lines{// The source lets go of an address only when it has heard that the destination has it.
                                 "D taking the address: release_address", "D taking the address: stop_timer"};
  // Only a source that gave the container away asks, and that takes a destination that is ready.
  for (const char* phase : {"idle", "preparing", "receiving", "taking the address", "parked", "restoring"}) {
    lines.push_back(fmt::format("D {}: answer undecided", phase));
  }
  return lines;
}

class Simulator : public ::testing::TestWithParam<uint64_t> {};

TEST_P(Simulator, KeepsEveryPromise) {
  const uint64_t schedules = number_from("GODWIT_SCHEDULES", schedules_default);
  const uint64_t begin = GetParam() * schedules / shares;
  const uint64_t end = (GetParam() + 1) * schedules / shares;
  const uint64_t first_seed = number_from("GODWIT_SEED", 1) + begin;
  Coverage coverage;
  const Failure failure = find_violation({}, first_seed, end - begin, coverage);
  ASSERT_FALSE(failure.found) << failure.report << how_to_play(failure.seed);
  EXPECT_EQ(coverage.schedules, end - begin);
  fmt::print("from seed {}: {}", first_seed, summary(coverage));
  if (end - begin < schedules_for_coverage) return;
  EXPECT_THAT(unseen_effects(coverage, unreachable_effects()), IsEmpty());
  EXPECT_THAT(unseen_faults(coverage), IsEmpty());
  EXPECT_THAT(uncrashed_effects(coverage), IsEmpty());
  const auto& heard = coverage.source_steps.at(static_cast<size_t>(SourcePhase::given_away));
  for (const SourceEventKind word : {SourceEventKind::abandoned_keep, SourceEventKind::abandoned_end}) {
    EXPECT_GT(heard.at(static_cast<size_t>(word)), 100) << event_name(word);
  }
  EXPECT_GT(coverage.queries_answered_from_record, 0);
  EXPECT_GT(coverage.crashes_between_effects, 0);
  EXPECT_GT(coverage.stale_results, 0);
  for (const Verdict verdict : {Verdict::none, Verdict::moved, Verdict::stayed, Verdict::lost}) {
    EXPECT_GT(coverage.source_verdicts.at(static_cast<size_t>(verdict)), 0);
  }
  for (const Verdict verdict : {Verdict::none, Verdict::running, Verdict::refused}) {
    EXPECT_GT(coverage.destination_verdicts.at(static_cast<size_t>(verdict)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Share, Simulator, ::testing::Range<uint64_t>(0, shares));

TEST(SimulatorSeed, DecidesTheWholeSchedule) {
  Coverage first;
  Coverage second;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const ScheduleResult once = run_schedule({}, seed, first, true);
    const ScheduleResult again = run_schedule({}, seed, second, true);
    ASSERT_FALSE(once.trace.empty());
    ASSERT_EQ(once.trace, again.trace) << "seed " << seed;
  }
  EXPECT_EQ(first.steps, second.steps);
}

TEST(SimulatorSeed, GivesTheSameScheduleWithoutATrace) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    Coverage traced;
    Coverage untraced;
    run_schedule({}, seed, traced, true);
    EXPECT_THAT(run_schedule({}, seed, untraced).trace, IsEmpty());
    ASSERT_EQ(traced.source_steps, untraced.source_steps) << "seed " << seed;
    ASSERT_EQ(traced.destination_steps, untraced.destination_steps) << "seed " << seed;
    ASSERT_EQ(traced.source_did, untraced.source_did) << "seed " << seed;
    ASSERT_EQ(traced.destination_did, untraced.destination_did) << "seed " << seed;
  }
}

TEST(SimulatorSeed, OfAnotherNumberGivesAnotherSchedule) {
  Coverage coverage;
  EXPECT_NE(run_schedule({}, 1, coverage, true).trace, run_schedule({}, 2, coverage, true).trace);
}

TEST(SimulatorSeed, OfAFailureIsReportedAndFailsAgain) {
  SimulatorOptions broken;
  broken.contract.settles_parked = false;
  Coverage coverage;
  const Failure failure = find_violation(broken, 1, 1000, coverage);
  ASSERT_TRUE(failure.found);
  EXPECT_THAT(failure.report, ::testing::StartsWith(fmt::format("seed {}: ", failure.seed)));
  const Failure again = find_violation(broken, failure.seed, 1, coverage);
  EXPECT_TRUE(again.found);
  EXPECT_EQ(again.report, failure.report);
}

}  // namespace
}  // namespace godwit::migration::simulation
