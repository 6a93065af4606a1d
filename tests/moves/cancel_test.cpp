// The operator changes their mind: before the hand-over the container stays, after it they are told that it is too
// late.
#include <signal.h>

#include "fault_fixture.h"
#include "os/file.h"

namespace godwit::moves {
namespace {

using agent::Phase;
using testing::HasSubstr;

class CancelTest : public FaultTest {
 protected:
  void SetUp() override {
    FaultTest::SetUp();
    make_counter(1);
  }

  // In whatever phase it comes: the container is in one place, and the result says in which. Returns whether it stayed.
  bool cancel_after(Phase phase, milliseconds delay) {
    SCOPED_TRACE(testing::Message() << agent::phase_name(phase) << " + " << delay.count() << " ms");
    const auto move = begin_until(phase, here_, 3 - here_);
    if (!move) return false;
    std::this_thread::sleep_for(delay);
    const auto asked = nodes().cancel(here_, move->session());
    EXPECT_TRUE(asked.has_value()) << asked.error().message;
    const auto result = move->result();
    EXPECT_TRUE(result.has_value()) << result.error().message;
    if (!result) return false;
    if (!result->ok) EXPECT_THAT(result->reason, HasSubstr("cancelled by the operator"));
    if (result->ok) here_ = 3 - here_;
    expect_runs_only_on(here_, 3 - here_);
    return !result->ok;
  }

  int here_ = 1;
};

TEST_F(CancelTest, InEachPhaseItRunsInOnePlaceAndTheResultSaysWhere) {
  EXPECT_TRUE(cancel_after(Phase::prepare, milliseconds(0)));
  EXPECT_TRUE(cancel_after(Phase::pre_copy, milliseconds(50)));
  int stayed = 0;
  for (const Phase phase : {Phase::freeze, Phase::restore}) {
    for (const int delay_ms : {0, 10, 25, 60}) stayed += cancel_after(phase, milliseconds(delay_ms)) ? 1 : 0;
  }
  EXPECT_GT(stayed, 0) << "no freeze was ever cancelled: the delays are too long";
  expect_moves(here_, 3 - here_);
}

TEST_F(CancelTest, ByCtrlCOfTheCommand) {
  const std::string log = "/tmp/godwit-cancel-" + nodes().lab().name() + ".log";
  auto command = nodes().node(1).spawn(
      {"godwit", "migrate", "counter", "--to", nodes().node(2).address(), "--bandwidth", "100kB/s"}, {.log_path = log});
  ASSERT_TRUE(command.has_value()) << command.error().message;
  const Deadline deadline = Deadline::after(std::chrono::seconds(20));
  const auto copies = [&] {
    const auto sessions = nodes().sessions(1);
    return !sessions.empty() && sessions.front().phase == Phase::pre_copy;
  };
  while (!copies() && !deadline.expired()) std::this_thread::sleep_for(milliseconds(20));
  ASSERT_TRUE(copies());
  ::kill(command->pid(), SIGINT);
  const auto status = command->wait(Deadline::after(std::chrono::seconds(20)));
  const std::string text = os::read_file(log).value_or("");
  EXPECT_TRUE(os::remove_tree(log).has_value());
  ASSERT_TRUE(status.has_value()) << status.error().message;
  EXPECT_EQ(*status, 1) << text;
  EXPECT_THAT(text, HasSubstr("cancelled by the operator"));
  expect_stayed_and_can_move();
}

TEST_F(CancelTest, ACommandThatIsKilledLeavesTheMoveToTheAgent) {
  auto command = nodes().node(1).spawn({"godwit", "migrate", "counter", "--to", nodes().node(2).address()});
  ASSERT_TRUE(command.has_value()) << command.error().message;
  const Deadline deadline = Deadline::after(std::chrono::seconds(20));
  while (nodes().sessions(1).empty() && !deadline.expired()) std::this_thread::sleep_for(milliseconds(5));
  ASSERT_TRUE(lab::kill_program(*command, Deadline::after(std::chrono::seconds(5))).has_value());
  const auto sessions = nodes().sessions(1);
  ASSERT_FALSE(sessions.empty());
  const auto outcome = nodes().outcome(1, sessions.front().session, Deadline::after(settle_time));
  ASSERT_TRUE(outcome.has_value()) << outcome.error().message;
  EXPECT_TRUE(outcome->ok) << outcome->reason;
  expect_runs_only_on(2, 1);
}

}  // namespace
}  // namespace godwit::moves
