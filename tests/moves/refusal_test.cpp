// Moves that cannot be: the operator is told why and what to do, and the container never notices.
#include "cli/agent_client.h"
#include "fault_fixture.h"

namespace godwit::moves {
namespace {

using testing::HasSubstr;

class RefusalTest : public FaultTest {};

TEST_F(RefusalTest, NoAgentAtTheDestination) {
  make_counter(1);
  ASSERT_TRUE(nodes().kill_agent(2).has_value());
  expect_refused({"destination", "10.88.0.12:9876", "refused"});
  ASSERT_TRUE(nodes().start_agent(2).has_value());
  expect_stayed_and_can_move();
}

TEST_F(RefusalTest, AnotherPortThanTheAgents) {
  make_counter(1);
  const auto result =
      cli::ask_agent(nodes().agent_socket(1), agent::MigrateRequest{.container = "counter", .to = "10.88.0.12:9877"},
                     Deadline::after(move_time), [](const agent::Event&) {});
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, {"destination", "10.88.0.12:9877", "refused"});
  expect_stayed_and_can_move();
}

TEST_F(RefusalTest, TheNetworkToTheDestinationIsCut) {
  make_counter(1);
  ASSERT_TRUE(nodes().lab().cut_network(2).has_value());
  expect_refused({"destination", "10.88.0.12:9876"});
  ASSERT_TRUE(nodes().lab().restore_network(2).has_value());
  expect_stayed_and_can_move();
}

TEST_F(RefusalTest, ThePageStoreIsTooSmallForTheContainer) {
  make_counter(1);
  expect_refused({"page store", "1 MiB"}, {.page_store_bytes = 1 << 20});
  expect_stayed_and_can_move();
}

TEST_F(RefusalTest, TheDestinationHasTooLittleMemory) {
  make_counter(1);
  run(2,
      "sed 's/^MemAvailable:.*/MemAvailable: 2048 kB/' /proc/meminfo >/tmp/meminfo\n"
      "mount --bind /tmp/meminfo /proc/meminfo");
  expect_refused({"node-2 has 2 MiB of memory available", "the container needs about"});
  run(2, "umount /proc/meminfo");
  expect_stayed_and_can_move();
}

TEST_F(RefusalTest, TheContainerIsNotThere) {
  const auto result = nodes().move("nobody", 1, 2);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, {"no container 'nobody' on node node-1", "godwit ps"});
  EXPECT_THAT(nodes().lasting_traces_of("nobody", 2), testing::IsEmpty());
}

TEST_F(RefusalTest, TheContainerIsPausedOrHasEnded) {
  make_counter(1);
  run(1, "runc pause counter");
  expect_refused({"'counter' is paused", "only a running one"});
  EXPECT_EQ(nodes().state_of("counter", 1), "paused") << "a refused move has touched it";
  run(1, "runc resume counter");
  expect_stayed_and_can_move();
  run(2, "runc kill counter KILL; while runc state counter | grep -q running; do sleep 0.05; done");
  const auto result = nodes().move("counter", 2, 1);
  ASSERT_TRUE(result.has_value()) << result.error().message;
  expect_reason(*result, {"'counter' is stopped", "only a running one"});
}

TEST_F(RefusalTest, TheDestinationHasAContainerOfThatName) {
  make_counter(1);
  const auto made =
      nodes().node(2).make_container({.name = "counter", .args = {"/bin/sleep", "1000"}, .address = "10.88.1.10/16"});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  expect_refused({"node-2 has a container named 'counter' already"});
  EXPECT_EQ(nodes().state_of("counter", 2), "running") << "the refused move has ended it";
  const auto program = nodes().node(2).exec_checked({"runc", "exec", "counter", "cat", "/proc/1/comm"},
                                                    Deadline::after(std::chrono::seconds(10)));
  ASSERT_TRUE(program.has_value()) << program.error().message;
  EXPECT_THAT(*program, HasSubstr("sleep"));
  remove_counter(2);
  expect_stayed_and_can_move();
}

TEST_F(RefusalTest, TheDeadlineIsTooShort) {
  make_counter(1);
  agent::MigrateOptions options = slow;
  options.deadline_ms = 1500;
  expect_refused({"deadline", "1500 ms"}, options);
  expect_stayed_and_can_move();
}

class DiskFullTest : public FaultTest {
 protected:
  void SetUp() override { start({.nodes = 2, .data_limit_bytes = 64 << 20}); }
};

TEST_F(DiskFullTest, TheDestinationHasNoRoomForTheContainersFiles) {
  make_counter(1, "open('/root/layer', 'wb').write(os.urandom(30 << 20))");
  run(2, "head -c 50M /dev/zero >/var/lib/godwit/filler");
  expect_refused({"destination", "root/layer", "No space left on device"});
  run(2, "rm /var/lib/godwit/filler");
  expect_stayed_and_can_move();
  run(2, "runc exec counter sh -c 'test $(stat -c %s /root/layer) = 31457280'");
}

}  // namespace
}  // namespace godwit::moves
