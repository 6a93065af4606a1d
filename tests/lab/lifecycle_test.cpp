// However a lab ends, nothing of it stays on the machine.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>

#include <gmock/gmock.h>

#include "lab/container.h"
#include "traces.h"

namespace godwit::lab {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

std::string lab_program() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path().string() + "/godwit-lab";
}

std::string test_lab_name(const char* suffix) {
  return fmt::format("test-{}-{}", ::getpid(), suffix);
}

// A lab whose starter is another process, which can be killed.
struct ForeignLab {
  os::Subprocess starter;
  Lab lab;
};

Result<ForeignLab> start_foreign_lab(const std::string& name) {
  const os::Command command{.argv = {lab_program(), "up", "--foreground", "--name", name, "--nodes", "2"}};
  GODWIT_ASSIGN(os::Subprocess starter, os::Subprocess::start(command));
  for (const Deadline deadline = soon();;) {
    auto lab = Lab::attach(name);
    // The state says first that the lab is being made, and then with which processes.
    if (lab && lab->state().places.back() > 0) return ForeignLab{std::move(starter), std::move(*lab)};
    if (deadline.expired()) return fail("lab {} did not come up", name);
    std::this_thread::sleep_for(milliseconds(10));
  }
}

Result<> start_frozen_container(const Node& node) {
  GODWIT_TRY(node.make_container({.name = "stuck", .args = {"sleep", "1000"}, .address = "10.88.1.9/16"}));
  GODWIT_TRY(node.exec_checked({"runc", "pause", "stuck"}, soon()));
  return {};
}

TEST(Lifecycle, TenTimesUpAndDownLeaveNothing) {
  SKIP_WITHOUT_ROOT();
  const size_t descriptors_before = children_of("/proc/self/fd").size();
  const auto interfaces_before = children_of("/sys/class/net");
  for (int round = 0; round < 10; ++round) {
    auto lab = Lab::start({.nodes = 2});
    ASSERT_TRUE(lab) << lab.error().message;
    const std::string name = lab->name();
    const auto namespaces = namespaces_of(*lab);
    ASSERT_EQ(namespaces.size(), 3 * 6);
    EXPECT_EQ(children_of("/sys/class/net"), interfaces_before) << "a lab's cables are no business of the machine";
    EXPECT_FALSE(traces_of(name, namespaces).empty()) << "this test must be able to see a lab";
    const auto stopped = lab->stop();
    ASSERT_TRUE(stopped) << stopped.error().message;
    EXPECT_THAT(traces_of(name, namespaces), IsEmpty());
  }
  EXPECT_EQ(children_of("/proc/self/fd").size(), descriptors_before);
}

TEST(Lifecycle, EndsWithItsObject) {
  SKIP_WITHOUT_ROOT();
  std::vector<std::string> namespaces;
  std::string name;
  {
    auto lab = Lab::start({.nodes = 1});
    ASSERT_TRUE(lab) << lab.error().message;
    name = lab->name();
    namespaces = namespaces_of(*lab);
  }
  EXPECT_THAT(traces_of(name, namespaces), IsEmpty());
}

TEST(Lifecycle, EndsWithAKilledStarter) {
  SKIP_WITHOUT_ROOT();
  const std::string name = test_lab_name("killed");
  auto foreign = start_foreign_lab(name);
  ASSERT_TRUE(foreign) << foreign.error().message;
  const auto namespaces = namespaces_of(foreign->lab);
  foreign->starter.kill_and_wait();
  EXPECT_THAT(traces_after(soon(), name, namespaces), IsEmpty());
}

TEST(Lifecycle, EndsWithAKilledStarterEvenWithAFrozenContainer) {
  SKIP_WITHOUT_ROOT();
  const std::string name = test_lab_name("frozen");
  auto foreign = start_foreign_lab(name);
  ASSERT_TRUE(foreign) << foreign.error().message;
  const auto namespaces = namespaces_of(foreign->lab);
  const auto frozen = start_frozen_container(foreign->lab.node(2));
  ASSERT_TRUE(frozen) << frozen.error().message;
  foreign->starter.kill_and_wait();
  EXPECT_THAT(traces_after(soon(), name, namespaces), IsEmpty());
}

TEST(Lifecycle, WhatAKilledJanitorLeftGoesWithTheNextStart) {
  SKIP_WITHOUT_ROOT();
  const std::string name = test_lab_name("orphan");
  auto foreign = start_foreign_lab(name);
  ASSERT_TRUE(foreign) << foreign.error().message;
  const auto namespaces = namespaces_of(foreign->lab);
  const auto frozen = start_frozen_container(foreign->lab.node(1));
  ASSERT_TRUE(frozen) << frozen.error().message;
  ASSERT_EQ(::kill(foreign->lab.state().janitor, SIGKILL), 0);
  foreign->starter.kill_and_wait();
  // Nobody thaws the container now, so it cannot die and something must be left for the next start.
  EXPECT_FALSE(traces_after(Deadline::after(milliseconds(300)), name, namespaces).empty());
  auto next = Lab::start({.nodes = 1});
  ASSERT_TRUE(next) << next.error().message;
  // It may have got the numbers of the namespaces that are gone.
  const auto stopped = next->stop();
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_THAT(traces_after(soon(), name, namespaces), IsEmpty());
}

TEST(Lifecycle, TwoLabsDoNotSeeEachOther) {
  SKIP_WITHOUT_ROOT();
  auto one = Lab::start({.nodes = 1});
  auto two = Lab::start({.nodes = 1});
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(two) << two.error().message;
  // The same container name and address in both.
  for (Lab* lab : {&*one, &*two}) {
    const auto made = lab->node(1).make_container(
        {.name = "db", .args = {"redis-server", "--save", "", "--protected-mode", "no"}, .address = "10.88.1.5/16"});
    ASSERT_TRUE(made) << made.error().message;
    const auto set = lab->outside().exec_checked(
        {"sh", "-c", "for i in $(seq 50); do redis-cli -h 10.88.1.5 set lab \"$0\" && exit; sleep 0.1; done; exit 1",
         lab->name()},
        soon());
    ASSERT_TRUE(set) << set.error().message;
  }
  const std::string name = one->name();
  const auto namespaces = namespaces_of(*one);
  const auto stopped = one->stop();
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_THAT(traces_of(name, namespaces), IsEmpty());
  const auto got = two->outside().exec_checked({"redis-cli", "-h", "10.88.1.5", "get", "lab"}, soon());
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, two->name() + "\n");
}

TEST(Lifecycle, RefusesANameThatIsTaken) {
  SKIP_WITHOUT_ROOT();
  auto lab = Lab::start({.nodes = 1, .name = test_lab_name("taken")});
  ASSERT_TRUE(lab) << lab.error().message;
  const auto second = Lab::start({.nodes = 1, .name = lab->name()});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("is up already"));
  // And the failed start did the first one no harm.
  EXPECT_TRUE(lab->node(1).exec_checked({"true"}, soon()));
}

TEST(Lifecycle, SaysHowToGetTheImageWhenItIsMissing) {
  SKIP_WITHOUT_ROOT();
  const auto lab = Lab::start({.nodes = 1, .name = test_lab_name("imageless"), .image = "/nowhere/image"});
  ASSERT_FALSE(lab);
  EXPECT_THAT(lab.error().message, HasSubstr("tools/node-image.sh"));
  EXPECT_THAT(traces_of(test_lab_name("imageless"), {}), IsEmpty());
}

TEST(Lifecycle, FailureWhileStartingSaysWhereAndLeavesNothing) {
  SKIP_WITHOUT_ROOT();
  // An image where /proc is a file: the nodes' mounts fail when namespaces, cgroups and cables are already there.
  const std::string image = fmt::format("/tmp/godwit-lab-test-{}", ::getpid());
  ASSERT_TRUE(os::make_directories(image + "/etc", 0755));
  ASSERT_TRUE(os::write_file_atomic(image + "/etc/os-release", "broken\n"));
  ASSERT_TRUE(os::write_file_atomic(image + "/proc", ""));
  const std::string name = test_lab_name("broken");
  const auto lab = Lab::start({.nodes = 2, .name = name, .image = image});
  ASSERT_FALSE(lab);
  EXPECT_THAT(lab.error().message, HasSubstr("/proc"));
  EXPECT_THAT(traces_of(name, {}), IsEmpty());
  EXPECT_TRUE(os::remove_tree(image));
}

}  // namespace
}  // namespace godwit::lab
