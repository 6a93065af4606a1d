#include "fault_fixture.h"

#include <fmt/format.h>

namespace godwit::moves {

using testing::HasSubstr;
using testing::IsEmpty;

namespace {

constexpr auto run_time = std::chrono::seconds(20);
constexpr const char* address = "10.88.1.9/16";
constexpr auto begin_time = std::chrono::seconds(20);

// `before`, a part of memory that is its own, and the counting. Nobody may be there to hear it.
constexpr const char* counter_program = R"(
import os, socket, time
{}
ballast = os.urandom(8 << 20)
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
count = 0
while True:
  count += 1
  try:
    out.sendto(str(count).encode(), ("10.88.0.1", {}))
  except OSError:
    pass
  time.sleep(0.005)
)";

}  // namespace

void FaultTest::start(const lab::LabOptions& options) {
  auto started = TwoNodes::start(options);
  ASSERT_TRUE(started.has_value()) << started.error().message;
  nodes_ = std::move(*started);
  auto listener = CountListener::start(nodes_->outside().netns_path());
  ASSERT_TRUE(listener.has_value()) << listener.error().message;
  listener_ = std::move(*listener);
}

void FaultTest::TearDown() {
  if (listener_) EXPECT_THAT(listener_->take_anomalies(), IsEmpty()) << "two copies ran";
}

void FaultTest::make_counter(int node, const std::string& before) {
  // The cable of one that was ended goes with its network namespace, which the kernel takes away in its own time.
  run(node,
      fmt::format("while ip link show {} >/dev/null 2>&1; do sleep 0.02; done", lab::cable_name(address).value_or("")));
  listener_->expect_new_container();
  const auto made = nodes_->node(node).make_container(
      {.name = "counter",
       .args = {"/usr/bin/python3", "-c", fmt::format(counter_program, before, CountListener::port)},
       .address = address,
       .cpu_limit_percent = 50});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  ASSERT_TRUE(listener_->hears_more(Deadline::after(run_time))) << "the container does not start to count";
}

void FaultTest::remove_counter(int node) {
  const auto removed = nodes_->node(node).remove_container("counter");
  ASSERT_TRUE(removed.has_value()) << removed.error().message;
}

void FaultTest::run(int node, const std::string& script) {
  const auto ran = nodes_->node(node).exec_checked({"sh", "-ec", script}, Deadline::after(run_time));
  ASSERT_TRUE(ran.has_value()) << ran.error().message;
}

// It is lifted in the pause.
void FaultTest::expect_cpu_limit(int node) {
  run(node, R"script(for i in $(seq 50); do
  quota=$(cat /sys/fs/cgroup/cpu*/counter/cpu.cfs_quota_us 2>/dev/null || true)
  test "$quota" = 50000 && exit
  sleep 0.1
done
echo "the container's CPU limit is '$quota'"
exit 1)script");
}

void FaultTest::expect_runs_only_on(int node, int other) {
  EXPECT_TRUE(listener_->hears_more(Deadline::after(run_time))) << "it does not run on";
  EXPECT_EQ(nodes_->state_of("counter", node), "running");
  EXPECT_THAT(nodes_->lasting_traces_of("counter", other), IsEmpty());
  EXPECT_THAT(listener_->take_anomalies(), IsEmpty()) << "two copies ran";
  expect_cpu_limit(node);
}

void FaultTest::expect_moves(int from, int to) {
  const auto moved = nodes_->move("counter", from, to);
  ASSERT_TRUE(moved.has_value()) << moved.error().message;
  ASSERT_TRUE(moved->ok) << moved->reason;
  expect_runs_only_on(to, from);
}

void FaultTest::expect_stayed_and_can_move() {
  expect_runs_only_on(1, 2);
  expect_moves(1, 2);
}

void FaultTest::expect_reason(const agent::ResultEvent& result, const std::vector<std::string>& words) {
  EXPECT_FALSE(result.ok);
  EXPECT_FALSE(result.unknown);
  for (const std::string& word : words) EXPECT_THAT(result.reason, HasSubstr(word));
  testing::Test::RecordProperty("reason", result.reason);
}

void FaultTest::expect_refused(const std::vector<std::string>& words, const agent::MigrateOptions& options) {
  const auto result = nodes_->move("counter", 1, 2, options);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, words);
}

std::unique_ptr<Move> FaultTest::begin_until(agent::Phase phase, int from, int to) {
  auto move = nodes_->begin_move("counter", from, to, phase == agent::Phase::pre_copy ? slow : agent::MigrateOptions{});
  const auto begun = move->wait_for_phase(phase, Deadline::after(begin_time));
  EXPECT_TRUE(begun.has_value()) << begun.error().message;
  return begun ? std::move(move) : nullptr;
}

}  // namespace godwit::moves
