// What cannot be restored is found before anything is touched: the reason is told, the container never stops.
#include <thread>

#include "workload.h"

namespace godwit::workloads {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class UnmovableTest : public WorkloadTest {
 protected:
  int count() const {
    const auto text =
        in_container("for i in $(seq 100); do [ -s /tmp/count ] && exec cat /tmp/count; sleep 0.05; done; echo -1");
    EXPECT_TRUE(text.has_value()) << text.error().message;
    return text ? std::atoi(text->c_str()) : -1;
  }

  void expect_refused(const std::string& reason) {
    const int before = count();
    ASSERT_GE(before, 0) << "the program does not run";
    const auto move = nodes_->begin_move(container, 1, 2);
    const auto result = move->result();
    ASSERT_TRUE(result.has_value()) << result.error().message;
    EXPECT_FALSE(result->ok);
    EXPECT_FALSE(result->rolled_back) << "it was frozen";
    EXPECT_THAT(result->reason, HasSubstr(reason));
    for (const agent::Event& event : move->events()) {
      const auto* phase = std::get_if<agent::PhaseEvent>(&event);
      if (phase == nullptr) continue;
      EXPECT_TRUE(phase->phase == agent::Phase::prepare || phase->phase == agent::Phase::failed)
          << agent::phase_name(phase->phase);
    }
    EXPECT_EQ(nodes_->state_of(container, 1), "running");
    EXPECT_THAT(nodes_->traces_of(container, 2), IsEmpty());
    const int after = count();
    std::this_thread::sleep_for(milliseconds(200));
    EXPECT_GT(count(), after) << "it does not run on";
  }
};

TEST_F(UnmovableTest, AnIoUringIsRefused) {
  start({.args = {"python3", "-c", script("hold.py"), "io_uring"}});
  expect_refused("(python3) uses io_uring");
}

TEST_F(UnmovableTest, NodejsThatMayUseIoUringIsRefused) {
  const std::string counts =
      "let n = 0; setInterval(() => { require('fs').writeFileSync('/tmp/new', String(++n)); "
      "require('fs').renameSync('/tmp/new', '/tmp/count'); }, 10)";
  start({.args = {"node", "-e", counts}});
  expect_refused("uses io_uring");
}

TEST_F(UnmovableTest, AUserfaultfdIsRefused) {
  start({.args = {"python3", "-c", script("hold.py"), "userfaultfd"}});
  expect_refused("(python3) uses userfaultfd");
}

TEST_F(UnmovableTest, AMultipathTcpSocketIsRefused) {
  start({.args = {"python3", "-c", script("hold.py"), "mptcp"}});
  expect_refused("multipath TCP");
}

TEST_F(UnmovableTest, AMessageQueueIsRefusedThatNobodyHasOpen) {
  start({.args = {"python3", "-c", script("hold.py"), "mqueue"}});
  expect_refused("message queues (/dev/mqueue/jobs)");
}

TEST_F(UnmovableTest, AProcessBroughtInFromOutsideIsRefused) {
  start({.args = {"python3", "-c", script("hold.py"), "nothing"}});
  const auto guest = nodes_->node(1).spawn({"runc", "exec", container, "sleep", "60"});
  ASSERT_TRUE(guest.has_value()) << guest.error().message;
  const auto there = in_container(
      "for i in $(seq 100); do ps ax | grep -v grep | grep -q 'sleep 60' && exit; "
      "sleep 0.05; done; exit 1");
  ASSERT_TRUE(there.has_value()) << there.error().message;
  expect_refused("(sleep) was brought into the container from outside");
}

TEST_F(UnmovableTest, ATerminalIsRefused) {
  start({.args = {"python3", "-c", script("hold.py"), "nothing"}});
  const auto holder =
      nodes_->node(1).spawn({"python3", "-c", script("terminal.py"), lab::bundle_path(container), container});
  ASSERT_TRUE(holder.has_value()) << holder.error().message;
  const Deadline deadline = Deadline::after(std::chrono::seconds(10));
  while (!in_container("test -t 0 </proc/1/fd/0").has_value()) {
    ASSERT_FALSE(deadline.expired()) << "it has no terminal";
    std::this_thread::sleep_for(milliseconds(50));
  }
  expect_refused("has a terminal (TTY)");
}

}  // namespace
}  // namespace godwit::workloads
