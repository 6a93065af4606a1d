#include "agent/thread_bound.h"

#include <gtest/gtest.h>

#include "agent/effect_runner.h"
#include "agent/mailbox.h"
#include "migration/source_machine.h"

namespace godwit::agent {
namespace {

TEST(ThreadBound, ItsThreadReadsAndWrites) {
  ThreadBound<migration::SourceState> state;
  ++state->epoch;
  *state = migration::SourceState{.epoch = state->epoch + 1};
  EXPECT_EQ((*std::as_const(state)).epoch, 2U);
}

TEST(ThreadBoundDeathTest, AnotherThreadIsStopped) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        ThreadBound<migration::SourceState> state;
        std::thread([&] { (void)state->epoch; }).join();
      },
      "owner_");
}

// As the workers do it: the machine goes on while effects run, and each effect reports the epoch that it was ordered
// in.
TEST(ThreadBound, AnEffectReportsTheEpochThatItWasOrderedIn) {
  ThreadBound<migration::SourceState> state;
  Mailbox<migration::SourceEvent> mailbox;
  EffectRunner effects;
  for (uint32_t i = 0; i < 100; ++i) {
    const uint32_t ordered = ++state->epoch;
    effects.run([&mailbox, ordered](const EffectRunner::Current&) { mailbox.post({.epoch = ordered}); });
    ++state->epoch;  // while it runs
    const auto event = mailbox.take(Deadline::after(std::chrono::seconds(10)));
    ASSERT_TRUE(event.has_value());
    EXPECT_EQ(event->epoch, ordered);
  }
}

}  // namespace
}  // namespace godwit::agent
