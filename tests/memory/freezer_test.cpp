#include "os/freezer.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>

#include "cgroup.h"
#include "child.h"

namespace godwit::os {
namespace {

using test::Child;
using test::TestCgroup;
using State = CgroupFreezer::State;

Deadline soon() {
  return Deadline::after(std::chrono::seconds(5));
}

// Made before any child is, which then counts in it.
std::atomic<uint64_t>& shared_counter = *static_cast<std::atomic<uint64_t>*>(
    ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

int count_forever(int) {
  for (;;) shared_counter.fetch_add(1);
}

class Freezer : public testing::TestWithParam<int> {
 protected:
  void SetUp() override {
    cgroup_ = TestCgroup::make(GetParam());
    if (!cgroup_.has_value()) GTEST_SKIP() << "no cgroup hierarchy of version " << GetParam() << " is mounted here";
  }
  std::optional<TestCgroup> cgroup_;
};

TEST_P(Freezer, StopsAndResumes) {
  const Child child(count_forever);
  ASSERT_TRUE(cgroup_->add(child.pid()).has_value());
  const CgroupFreezer& freezer = cgroup_->freezer();
  EXPECT_EQ(freezer.version(), GetParam());
  EXPECT_EQ(freezer.state().value(), State::thawed);
  for (int i = 0; i < 20; ++i) {
    const auto frozen = freezer.freeze(soon());
    ASSERT_TRUE(frozen.has_value()) << frozen.error().message;
    EXPECT_EQ(freezer.state().value(), State::frozen);
    const uint64_t before = shared_counter;
    ::usleep(2000);
    EXPECT_EQ(shared_counter, before);
    ASSERT_TRUE(freezer.thaw(soon()).has_value());
    EXPECT_EQ(freezer.state().value(), State::thawed);
    for (int n = 0; n < 1000 && shared_counter == before; ++n) ::usleep(1000);
    EXPECT_GT(shared_counter, before);
  }
}

TEST_P(Freezer, FindsTheCgroupOfAProcess) {
  const Child child(count_forever);
  ASSERT_TRUE(cgroup_->add(child.pid()).has_value());
  const auto found = CgroupFreezer::of_process(child.pid());
  ASSERT_TRUE(found.has_value()) << found.error().message;
  EXPECT_EQ(found->directory(), cgroup_->directory());
  EXPECT_EQ(cgroup_processes(found->directory()).value(), std::vector<pid_t>{child.pid()});
}

TEST_P(Freezer, ListsProcessesOfCgroupsBelow) {
  const Child child(count_forever);
  const std::string below = cgroup_->directory() + "/below";
  ASSERT_EQ(::mkdir(below.c_str(), 0755), 0);
  ASSERT_TRUE(write_file(below + "/cgroup.procs", std::to_string(child.pid())).has_value());
  EXPECT_EQ(cgroup_processes(cgroup_->directory()).value(), std::vector<pid_t>{child.pid()});
}

TEST_P(Freezer, ThawsAgainWhenItDoesNotStopInTime) {
  // The parent of a vfork child can be frozen, but not one that a signal cannot reach: the nearest to that which a test
  // can make is a deadline that has already passed.
  const Child child(count_forever);
  ASSERT_TRUE(cgroup_->add(child.pid()).has_value());
  const Child more[] = {Child(count_forever), Child(count_forever), Child(count_forever)};
  for (const Child& one : more) ASSERT_TRUE(cgroup_->add(one.pid()).has_value());
  int failures = 0;
  for (int i = 0; i < 50; ++i) {
    const auto frozen = cgroup_->freezer().freeze(Deadline::after(std::chrono::seconds(0)));
    if (frozen.has_value()) {
      ASSERT_TRUE(cgroup_->freezer().thaw(soon()).has_value());
      continue;
    }
    ++failures;
    EXPECT_NE(frozen.error().message.find("thawed again"), std::string::npos) << frozen.error().message;
    const uint64_t before = shared_counter;
    for (int n = 0; n < 1000 && shared_counter == before; ++n) ::usleep(1000);
    EXPECT_GT(shared_counter, before);
  }
  EXPECT_GT(failures, 0);
}

TEST_P(Freezer, SaysThatAnAncestorHoldsIt) {
  const Child child(count_forever);
  const std::string below = cgroup_->directory() + "/below";
  ASSERT_EQ(::mkdir(below.c_str(), 0755), 0);
  ASSERT_TRUE(write_file(below + "/cgroup.procs", std::to_string(child.pid())).has_value());
  ASSERT_TRUE(cgroup_->freezer().freeze(soon()).has_value());
  const auto thawed = CgroupFreezer::at(below)->thaw(Deadline::after(milliseconds(20)));
  ASSERT_FALSE(thawed.has_value());
  EXPECT_NE(thawed.error().message.find("above"), std::string::npos) << thawed.error().message;
  ASSERT_TRUE(cgroup_->freezer().thaw(soon()).has_value());
}

INSTANTIATE_TEST_SUITE_P(Versions, Freezer, testing::Values(1, 2),
                         [](const auto& version) { return "v" + std::to_string(version.param); });

TEST(FreezerErrors, SaysWhatIsNotACgroup) {
  const auto freezer = CgroupFreezer::at("/tmp");
  ASSERT_FALSE(freezer.has_value());
  EXPECT_NE(freezer.error().message.find("/tmp"), std::string::npos);
}

}  // namespace
}  // namespace godwit::os
