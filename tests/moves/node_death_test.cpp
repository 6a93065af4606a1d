// The destination's whole node dies, or its cable is cut, in each phase of a move.
#include "fault_fixture.h"

namespace godwit::moves {
namespace {

using agent::Phase;
using testing::HasSubstr;

struct Blow {
  Phase phase;
  int delay_ms;
};
constexpr Blow blows[] = {
    {Phase::prepare, 30}, {Phase::pre_copy, 60}, {Phase::freeze, 0}, {Phase::freeze, 20}, {Phase::restore, 0}};
constexpr auto notice_time = std::chrono::seconds(20);

class NodeDeathTest : public FaultTest {
 protected:
  // One destination for each blow, and one more for the move that has to work then.
  void SetUp() override { start({.nodes = static_cast<int>(std::size(blows)) + 2}); }

  // The dead node has not said whether the container ran there, so nobody may let the frozen copy go on, or end it: the
  // operator is told. Where the worker has ended is not waited for.
  void expect_held(Move& move) {
    EXPECT_EQ(nodes().state_of("counter", 1), "paused");
    std::string notes;
    for (const agent::Event& event : move.events()) {
      if (const auto* note = std::get_if<agent::NoteEvent>(&event)) notes += note->text + "\n";
    }
    EXPECT_THAT(notes, HasSubstr("does not answer"));
    EXPECT_THAT(listener_->take_anomalies(), testing::IsEmpty());
  }
};

TEST_F(NodeDeathTest, ItRunsOnAtTheSource) {
  make_counter(1);
  int node = 2;
  for (const Blow& blow : blows) {
    SCOPED_TRACE(testing::Message() << agent::phase_name(blow.phase) << " + " << blow.delay_ms << " ms");
    const auto move = begin_until(blow.phase, 1, node);
    ASSERT_NE(move, nullptr);
    std::this_thread::sleep_for(milliseconds(blow.delay_ms));
    ASSERT_TRUE(nodes().lab().kill_node(node++).has_value());
    const auto outcome = nodes().outcome(1, move->session(), Deadline::after(notice_time));
    if (!outcome) {
      // Only from the hand-over on, which comes last.
      ASSERT_GE(blow.phase, Phase::freeze) << outcome.error().message;
      expect_held(*move);
      ASSERT_TRUE(nodes().kill_agent(1).has_value());
      ASSERT_TRUE(nodes().kill_worker(1, move->session()).has_value());
      return;
    }
    ASSERT_FALSE(outcome->ok);
    EXPECT_THAT(outcome->reason, HasSubstr("destination"));
    EXPECT_TRUE(listener_->hears_more(Deadline::after(std::chrono::seconds(10)))) << "it does not run on";
    EXPECT_EQ(nodes().state_of("counter", 1), "running");
  }
  expect_moves(1, node);
}

class CutTest : public FaultTest {};

TEST_F(CutTest, TheCableToTheDestinationIsCutInEachPhaseAndComesBack) {
  make_counter(1);
  int here = 1;
  for (const Blow& blow : {Blow{Phase::pre_copy, 60}, Blow{Phase::freeze, 0}, Blow{Phase::restore, 0}}) {
    SCOPED_TRACE(testing::Message() << agent::phase_name(blow.phase) << " + " << blow.delay_ms << " ms");
    const int there = 3 - here;
    const auto move = begin_until(blow.phase, here, there);
    ASSERT_NE(move, nullptr);
    std::this_thread::sleep_for(milliseconds(blow.delay_ms));
    ASSERT_TRUE(nodes().lab().cut_network(there).has_value());
    std::this_thread::sleep_for(std::chrono::seconds(5));  // longer than a living peer is ever silent
    ASSERT_TRUE(nodes().lab().restore_network(there).has_value());
    const auto outcome = nodes().outcome(here, move->session(), Deadline::after(settle_time));
    ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
    if (!outcome->ok) EXPECT_THAT(outcome->reason, HasSubstr("destination"));
    if (outcome->ok) here = there;
    expect_runs_only_on(here, 3 - here);
  }
  expect_moves(here, 3 - here);
}

}  // namespace
}  // namespace godwit::moves
