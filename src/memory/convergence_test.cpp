#include "memory/convergence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace godwit::memory {
namespace {

constexpr uint64_t mib = 1 << 20;

struct Outcome {
  uint32_t rounds = 0;
  Decision last;
  double true_pause_ms = 0;  // of the model, had the freeze come then
};

// A program of `total` bytes, of which a hot set of `hot` bytes is rewritten at `write_rate` bytes/s, evenly; sent at
// `send_rate` with a fixed cost for each round.
struct Model {
  double total = 1024.0 * mib;
  double hot = 16.0 * mib;
  double write_rate = 50.0 * mib;
  double send_rate = 1000.0 * mib;
  double round_seconds = 0.002;

  [[nodiscard]] double dirtied_in(double seconds) const {
    // Random writes over the hot set hit pages already dirty: the usual saturation.
    return hot * (1 - std::exp(-write_rate * seconds / hot));
  }
};

Outcome play(const Model& model, const ConvergenceOptions& options) {
  Convergence policy(options);
  Outcome result;
  double dirty = model.total;
  for (;;) {
    const double seconds = model.round_seconds + dirty / model.send_rate;
    result.last = policy.add(
        {.dirty_bytes = static_cast<uint64_t>(dirty), .sent_bytes = static_cast<uint64_t>(dirty), .seconds = seconds});
    ++result.rounds;
    dirty = model.dirtied_in(seconds);
    result.true_pause_ms = options.base_pause_ms + 1000 * dirty / model.send_rate;
    if (result.last.stop || result.rounds > 100) return result;
  }
}

TEST(Convergence, IdleProgramStopsAtOnce) {
  const Outcome result = play({.write_rate = 0.001 * mib}, {});
  EXPECT_EQ(result.last.reason, StopReason::no_gain);
  EXPECT_EQ(result.rounds, 2U);
  EXPECT_NEAR(result.last.predicted_pause_ms, 40, 1);
}

TEST(Convergence, ModerateWritesConvergeAndThePredictionHolds) {
  const Outcome result = play({}, {});
  EXPECT_TRUE(result.last.stop);
  EXPECT_LE(result.rounds, 10U);
  EXPECT_LT(result.true_pause_ms, 42);
  EXPECT_GE(result.last.predicted_pause_ms, result.true_pause_ms - 0.5);
  EXPECT_LT(result.last.predicted_pause_ms, result.true_pause_ms + 5);
}

TEST(Convergence, WritesFasterThanTheLinkDoNotConverge) {
  const Outcome result = play({.hot = 900.0 * mib, .write_rate = 4000.0 * mib, .send_rate = 500.0 * mib}, {});
  EXPECT_EQ(result.last.reason, StopReason::not_converging);
  EXPECT_LE(result.rounds, 6U);
  EXPECT_GT(result.last.predicted_pause_ms, 1000);
}

TEST(Convergence, SmallHotSetThatIsRewrittenAllTheTimeStopsWithoutGain) {
  const Outcome result = play({.hot = 20.0 * mib, .write_rate = 100000.0 * mib}, {});
  // All of 20 MiB is dirty whatever is done: 20 ms more than the base, and no round changes that.
  EXPECT_TRUE(result.last.reason == StopReason::not_converging || result.last.reason == StopReason::no_gain);
  EXPECT_LE(result.rounds, 7U);
  EXPECT_NEAR(result.last.predicted_pause_ms, 60, 3);
}

TEST(Convergence, StopsAtTheRequestedPause) {
  const Outcome result = play({.hot = 200.0 * mib, .write_rate = 400.0 * mib}, {.requested_freeze_ms = 150});
  EXPECT_EQ(result.last.reason, StopReason::requested_pause);
  EXPECT_LE(result.true_pause_ms, 150);
  const Outcome shortest = play({.hot = 200.0 * mib, .write_rate = 400.0 * mib}, {});
  EXPECT_LT(result.rounds, shortest.rounds);
}

TEST(Convergence, StopsAtTheThreshold) {
  const Outcome result = play({}, {.dirty_pages_threshold = 2048});
  EXPECT_EQ(result.last.reason, StopReason::threshold);
}

TEST(Convergence, DumpTimeTakesFewerRounds) {
  const Model model{.hot = 20.0 * mib, .write_rate = 100000.0 * mib};
  const Outcome fast = play(model, {.goal = ConvergenceOptions::Goal::dump_time});
  EXPECT_LT(fast.rounds, play(model, {}).rounds);
}

TEST(Convergence, NeverMoreThanTheLimitOfRounds) {
  // Halves each round for ever.
  Convergence policy({.rounds_max = 7});
  Decision decision;
  uint32_t rounds = 0;
  for (double dirty = 1e15; !decision.stop; dirty /= 2) {
    decision = policy.add({.dirty_bytes = static_cast<uint64_t>(dirty),
                           .sent_bytes = static_cast<uint64_t>(dirty),
                           .seconds = dirty / 1e9});
    ASSERT_LE(++rounds, 7U);
  }
  EXPECT_EQ(rounds, 7U);
  EXPECT_EQ(decision.reason, StopReason::rounds_max);
}

TEST(Convergence, BurstsDoNotStopIt) {
  // A round that finds more than the one before (a garbage collection) is followed by better ones.
  Convergence policy({});
  const double dirty_mib[] = {1000, 100, 20, 300, 15, 3};
  Decision decision;
  for (const double found : dirty_mib) {
    ASSERT_FALSE(decision.stop) << found;
    decision = policy.add({.dirty_bytes = static_cast<uint64_t>(found * mib),
                           .sent_bytes = static_cast<uint64_t>(found * mib),
                           .seconds = found / 1000});
  }
  EXPECT_FALSE(decision.stop);
}

TEST(Convergence, NothingToSendIsNoDivisionByZero) {
  Convergence policy({});
  const Decision decision = policy.add({.dirty_bytes = 0, .sent_bytes = 0, .seconds = 0});
  EXPECT_TRUE(decision.stop);
  EXPECT_EQ(decision.predicted_pause_ms, 40);
}

TEST(Convergence, OptionsMayChangeBetweenRounds) {
  Convergence policy({});
  const RoundMeasure round{.dirty_bytes = 100 * mib, .sent_bytes = 100 * mib, .seconds = 0.1};
  EXPECT_FALSE(policy.add(round).stop);
  policy.set_options({.requested_freeze_ms = 1000});
  EXPECT_EQ(policy.add(round).reason, StopReason::requested_pause);
}

}  // namespace
}  // namespace godwit::memory
