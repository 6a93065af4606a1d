// What a container engine's shim sees of the number that is kept for a container. This process is the shim.
#include "agent/pid_keeper.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "os/fd_passing.h"

namespace godwit::agent {
namespace {

Deadline soon() {
  return Deadline::after(std::chrono::seconds(20));
}

class Keeping : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::prctl(PR_SET_CHILD_SUBREAPER, 1), 0); }
  void TearDown() override {
    while (::waitpid(-1, nullptr, 0) > 0) {
    }
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  }
  // As `create` of a runtime does, which ends.
  static KeptPid create() {
    auto pair = os::seqpacket_pair();
    const pid_t runtime = ::fork();
    if (runtime == 0) {
      const auto kept = keep_pid();
      const nlohmann::json numbers = {kept->placeholder, kept->keeper};
      (void)os::send_message(pair->theirs.get(), numbers.dump(), kept->connection.get());
      ::_exit(0);
    }
    auto message = os::receive_message(pair->ours.get(), soon());
    EXPECT_EQ(::waitpid(runtime, nullptr, 0), runtime);
    const auto numbers = nlohmann::json::parse(message->text);
    return {.placeholder = numbers[0], .keeper = numbers[1], .connection = std::move(message->fd)};
  }
  // How the process ended, for whoever is its parent by then.
  static int status_of(pid_t pid) {
    int status = -1;
    for (const Deadline deadline = soon(); ::waitpid(pid, &status, 0) != pid; ::usleep(1000)) {
      if (!deadline.expired()) continue;
      ADD_FAILURE() << "the shim would never hear of its end";
      break;
    }
    return status;
  }
};

TEST_F(Keeping, TheNumberIsFreedUnnoticed) {
  PidKeeper keeper(create());
  EXPECT_EQ(::kill(keeper.pid(), 0), 0);
  ASSERT_TRUE(keeper.free_pid(soon()));
  EXPECT_EQ(::kill(keeper.pid(), 0), -1);
  EXPECT_EQ(::waitpid(keeper.pid(), nullptr, WNOHANG), -1) << "the shim takes its end for the container's";
  keeper.done();
  EXPECT_EQ(status_of(keeper.keeper_pid()), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "something was left";
}

TEST_F(Keeping, WithoutAContainerTheShimHearsOfItsEnd) {
  pid_t placeholder = 0;
  {
    const PidKeeper keeper(create());
    placeholder = keeper.pid();
  }
  EXPECT_NE(status_of(placeholder), 0) << "killed, or ended because its keeper was faster";
}

TEST_F(Keeping, AlsoOnceTheNumberWasFree) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may choose a process's number";
  pid_t placeholder = 0;
  {
    PidKeeper keeper(create());
    placeholder = keeper.pid();
    ASSERT_TRUE(keeper.free_pid(soon()));
  }
  EXPECT_NE(status_of(placeholder), 0) << "killed, or ended because its keeper was faster";
}

TEST_F(Keeping, AKeeperThatIsEndedGivesNoNumberAway) {
  PidKeeper keeper(create());
  ASSERT_EQ(::kill(keeper.keeper_pid(), SIGKILL), 0);
  EXPECT_NE(status_of(keeper.pid()), 0) << "killed, or ended because its keeper was faster";
  EXPECT_FALSE(keeper.free_pid(soon()));
}

}  // namespace
}  // namespace godwit::agent
