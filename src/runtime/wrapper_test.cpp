#include "runtime/wrapper.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "agent/own_run_directory.h"
#include "agent/pod_claim.h"
#include "agent/pod_marks.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::runtime {
namespace {

using agent::PodMark;

class Wrapper : public agent::OwnRunDirectory {
 protected:
  Result<Outcome> call(const std::string& command) { return intervene({.command = command, .id = "abc"}); }
  // This very process lives.
  void hold() { ASSERT_TRUE(agent::mark_container("abc", {.state = PodMark::State::held, .init_pid = ::getpid()})); }
};

TEST_F(Wrapper, AContainerWithoutAMarkIsRuncsAlone) {
  for (const char* command : {"start", "kill", "exec", "delete", "state"}) {
    EXPECT_EQ(call(command).value(), Outcome::pass_on) << command;
  }
}

TEST_F(Wrapper, AHeldContainerIsNotEndedAndTheWishIsNoted) {
  hold();
  EXPECT_FALSE(agent::end_wanted("abc").value());
  EXPECT_EQ(call("kill").value(), Outcome::done);
  EXPECT_TRUE(agent::end_wanted("abc").value());
  EXPECT_FALSE(call("delete")) << "nor removed";
}

TEST_F(Wrapper, NothingIsRunInAHeldContainer) {
  hold();
  EXPECT_FALSE(call("exec")) << "a preStop hook would be";
  EXPECT_EQ(call("state").value(), Outcome::pass_on);
}

TEST_F(Wrapper, AHeldContainerThatHasEndedIsRuncsAgain) {
  auto ended = os::Subprocess::start({.argv = {"true"}});
  ASSERT_TRUE(ended);
  const pid_t pid = ended->pid();
  ASSERT_TRUE(ended->wait(Deadline::after(std::chrono::seconds(5))));
  ASSERT_TRUE(agent::mark_container("abc", {.state = PodMark::State::held, .init_pid = pid}));
  EXPECT_EQ(call("kill").value(), Outcome::pass_on);
  EXPECT_EQ(call("delete").value(), Outcome::pass_on);
  EXPECT_FALSE(agent::container_mark("abc").value());
}

TEST_F(Wrapper, AContainerThatIsAwaitedEndsWithItsKeeper) {
  auto keeper = os::Subprocess::start({.argv = {"sleep", "100"}});
  ASSERT_TRUE(keeper);
  ASSERT_TRUE(agent::mark_container("abc", {.state = PodMark::State::awaited, .keeper_pid = keeper->pid()}));
  EXPECT_EQ(call("start").value(), Outcome::done);
  EXPECT_FALSE(call("exec"));
  EXPECT_EQ(call("kill").value(), Outcome::done);
  EXPECT_TRUE(keeper->wait(Deadline::after(std::chrono::seconds(5))));
  EXPECT_EQ(call("kill").value(), Outcome::done) << "it has ended";
  EXPECT_EQ(call("delete").value(), Outcome::pass_on);
  EXPECT_FALSE(agent::container_mark("abc").value());
}

TEST_F(Wrapper, NothingIsRunInAContainerThatHasMoved) {
  ASSERT_TRUE(agent::mark_container("abc", {.state = PodMark::State::moved, .to = "node-2"}));
  const auto refused = call("exec");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("node-2"), std::string::npos);
}

// Of a clone pod whose session is none, so that whatever is offered to it is refused at once.
TEST_F(Wrapper, OnlyInitContainersThatShallRunAgainAreCreatedInAClone) {
  const std::string bundle = testing::TempDir() + "bundle-" + std::to_string(::getpid());
  ASSERT_TRUE(os::make_directories(bundle));
  const auto create = [&](const std::string& name) {
    const nlohmann::json config = {{"annotations",
                                    {{"io.kubernetes.cri.container-type", "container"},
                                     {"io.kubernetes.cri.sandbox-id", "5a"},
                                     {"io.kubernetes.cri.container-name", name},
                                     {agent::restore_annotation, "no-session"},
                                     {agent::run_init_containers_annotation, "prepare,warm-up"}}}};
    EXPECT_TRUE(os::write_file_atomic(bundle + "/config.json", config.dump(), 0644));
    return intervene({.command = "create", .id = "abc", .bundle = bundle});
  };
  EXPECT_EQ(create("warm-up").value(), Outcome::pass_on);
  EXPECT_FALSE(create("warm"));
  EXPECT_FALSE(create("web"));
  ASSERT_TRUE(os::remove_tree(bundle));
}

}  // namespace
}  // namespace godwit::runtime
