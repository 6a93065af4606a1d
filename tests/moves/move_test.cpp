// What every move has to keep, on the smallest container: who runs where, and what is left behind.
#include <gmock/gmock.h>

#include "two_nodes.h"

namespace godwit::moves {
namespace {

using testing::IsEmpty;

class MoveTest : public testing::Test {
 protected:
  void SetUp() override {
    auto started = TwoNodes::start();
    ASSERT_TRUE(started.has_value()) << started.error().message;
    nodes_ = std::move(*started);
    const auto made = nodes_->node(1).make_container(
        {.name = "counter",
         .args = {"/bin/sh", "-c", "i=0; while :; do i=$((i+1)); echo $i >/tmp/count; sleep 0.01; done"},
         .address = "10.88.1.9/16"});
    ASSERT_TRUE(made.has_value()) << made.error().message;
  }

  int count_on(int node) {
    auto text = nodes_->node(node).exec_checked({"runc", "exec", "counter", "cat", "/tmp/count"},
                                                Deadline::after(std::chrono::seconds(10)));
    EXPECT_TRUE(text.has_value()) << text.error().message;
    return text ? std::atoi(text->c_str()) : -1;
  }

  std::unique_ptr<TwoNodes> nodes_;
};

TEST_F(MoveTest, TheContainerRunsThereAndNothingOfItIsLeftHere) {
  const int before = count_on(1);
  const auto moved = nodes_->move("counter", 1, 2);
  ASSERT_TRUE(moved.has_value()) << moved.error().message;
  ASSERT_TRUE(moved->ok) << moved->reason;
  EXPECT_EQ(nodes_->state_of("counter", 2), "running");
  EXPECT_THAT(nodes_->lasting_traces_of("counter", 1), IsEmpty());
  EXPECT_GE(count_on(2), before) << "it began anew";
}

// Its shell waits for a program that it has started by vfork() at every other moment.
TEST_F(MoveTest, OneThatStartsProgramsAllTheTimeMoves) {
  const auto made = nodes_->node(1).make_container(
      {.name = "starter", .args = {"/bin/sh", "-c", "while :; do /bin/true; done"}, .address = "10.88.1.8/16"});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  for (int i = 0; i < 12; ++i) {
    const auto moved = nodes_->move("starter", 1 + i % 2, 2 - i % 2);
    ASSERT_TRUE(moved.has_value()) << moved.error().message;
    ASSERT_TRUE(moved->ok) << moved->reason;
  }
}

TEST_F(MoveTest, ItGoesOnWhereItWasWhenTheMoveIsCancelled) {
  // So slow that the copy cannot end by itself.
  const auto move = nodes_->begin_move("counter", 1, 2, {.bandwidth_bytes_per_s = 100'000});
  const auto begun = move->wait_for_phase(agent::Phase::pre_copy, Deadline::after(std::chrono::seconds(20)));
  ASSERT_TRUE(begun.has_value()) << begun.error().message;
  const auto cancelled = nodes_->cancel(1, move->session());
  ASSERT_TRUE(cancelled.has_value()) << cancelled.error().message;
  const auto result = move->result();
  ASSERT_TRUE(result.has_value()) << result.error().message;
  EXPECT_FALSE(result->ok);
  EXPECT_THAT(result->reason, testing::HasSubstr("cancelled"));
  EXPECT_EQ(nodes_->state_of("counter", 1), "running");
  EXPECT_THAT(nodes_->lasting_traces_of("counter", 2), IsEmpty());
  const int count = count_on(1);
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_GT(count_on(1), count) << "it does not run on";
}

}  // namespace
}  // namespace godwit::moves
