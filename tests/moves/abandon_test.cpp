// The destination's node dies after the hand-over and never comes back: the frozen copy waits for the operator's word,
// and obeys it.
#include "fault_fixture.h"

namespace godwit::moves {
namespace {

using agent::Phase;
using testing::HasSubstr;
using testing::IsEmpty;

class AbandonTest : public FaultTest {
 protected:
  void SetUp() override {
    start({.nodes = 3});
    make_counter(1);
  }

  // A move 1 -> 2 whose source has given the container away to a node that is dead by then. The source's worker is
  // stopped while the destination restores, so that it reads "ready" when there is nobody any more to say GO to.
  std::unique_ptr<Move> give_away_to_a_dead_node() {
    std::unique_ptr<Move> move;
    for (int attempt = 1;; ++attempt) {
      move = begin_until(Phase::restore, 1, 2);
      if (!move) return nullptr;
      EXPECT_TRUE(nodes().signal_worker(1, move->session(), "STOP").value_or(false));
      std::this_thread::sleep_for(milliseconds(1500));
      if (attempt == 5 || nodes().state_of("counter", 2) != "running") break;
      // That came too late: GO had been said.
      EXPECT_TRUE(nodes().signal_worker(1, move->session(), "CONT").value_or(false));
      EXPECT_TRUE(move->result().has_value());
      expect_moves(2, 1);
    }
    EXPECT_TRUE(nodes().lab().kill_node(2).has_value());
    EXPECT_TRUE(nodes().signal_worker(1, move->session(), "CONT").value_or(false));
    const Deadline deadline = Deadline::after(std::chrono::seconds(15));
    const auto told = [&] {
      for (const agent::Event& event : move->events()) {
        const auto* note = std::get_if<agent::NoteEvent>(&event);
        if (note != nullptr && note->text.find("godwit abandon") != std::string::npos) return true;
      }
      return false;
    };
    while (!told() && !deadline.expired()) std::this_thread::sleep_for(milliseconds(50));
    EXPECT_TRUE(told()) << "the operator is not told what to do";
    EXPECT_EQ(nodes().state_of("counter", 1), "paused");
    return move;
  }

  void expect_agreed(const std::string& session, bool keep) {
    const auto answer = nodes().abandon(1, session, keep);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_TRUE(answer->ok) << answer->reason;
  }
};

TEST_F(AbandonTest, TheCopyGoesOnIfTheOperatorWantsToKeepIt) {
  const auto move = give_away_to_a_dead_node();
  ASSERT_NE(move, nullptr);
  std::this_thread::sleep_for(std::chrono::seconds(4));
  EXPECT_EQ(nodes().state_of("counter", 1), "paused") << "nobody has said that it may go on";
  expect_agreed(move->session(), true);
  const auto result = move->result();
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, {"the operator said that the destination is dead"});
  EXPECT_TRUE(result->rolled_back);
  EXPECT_FALSE(result->lost);
  EXPECT_TRUE(listener_->hears_more(Deadline::after(settle_time))) << "it does not run on";
  EXPECT_EQ(nodes().state_of("counter", 1), "running");
  expect_moves(1, 3);
}

TEST_F(AbandonTest, TheCopyIsEndedIfTheOperatorWantsThat) {
  const auto move = give_away_to_a_dead_node();
  ASSERT_NE(move, nullptr);
  expect_agreed(move->session(), false);
  const auto result = move->result();
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, {"the operator said that the destination is dead"});
  EXPECT_TRUE(result->lost);
  EXPECT_THAT(nodes().lasting_traces_of("counter", 1), IsEmpty());
}

TEST_F(AbandonTest, ARecoveredSessionCanBeAbandonedToo) {
  const auto move = give_away_to_a_dead_node();
  ASSERT_NE(move, nullptr);
  ASSERT_TRUE(nodes().kill_worker(1, move->session()).value_or(false));
  const Deadline deadline = Deadline::after(settle_time);
  for (;;) {
    const auto answer = nodes().abandon(1, move->session(), true);
    if (answer && answer->ok) break;
    ASSERT_FALSE(deadline.expired()) << (answer ? answer->reason : answer.error().message);
    std::this_thread::sleep_for(milliseconds(200));
  }
  const auto result = nodes().outcome(1, move->session(), Deadline::after(settle_time));
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, {"the operator said that the destination is dead"});
  EXPECT_EQ(nodes().state_of("counter", 1), "running");
  expect_moves(1, 3);
}

TEST_F(AbandonTest, ASessionThatIsNotHandedOverIsNotAbandoned) {
  const auto move = begin_until(Phase::pre_copy, 1, 2);
  ASSERT_NE(move, nullptr);
  for (const int node : {1, 2}) {
    const auto answer = nodes().abandon(node, move->session(), true);
    ASSERT_TRUE(answer.has_value()) << answer.error().message;
    EXPECT_FALSE(answer->ok) << "node " << node;
    EXPECT_THAT(answer->reason, HasSubstr(node == 1 ? "has not been handed over" : "abandoned on this side"));
  }
  EXPECT_EQ(nodes().state_of("counter", 1), "running");
  EXPECT_TRUE(nodes().cancel(1, move->session()).has_value());
  ASSERT_TRUE(move->result().has_value());
  expect_moves(1, 2);
}

}  // namespace
}  // namespace godwit::moves
