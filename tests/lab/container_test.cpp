// Containers in a node are what a container engine would make.
#include <gmock/gmock.h>

#include "lab/container.h"
#include "traces.h"

namespace godwit::lab {
namespace {

using testing::HasSubstr;

class ContainerTest : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_ROOT();
    auto started = Lab::start({.nodes = 1});
    ASSERT_TRUE(started) << started.error().message;
    lab_ = std::make_unique<Lab>(std::move(*started));
  }

  void make(const ContainerSpec& spec) {
    const auto made = lab_->node(1).make_container(spec);
    ASSERT_TRUE(made) << made.error().message;
  }
  // Runs a shell line in the container.
  [[nodiscard]] std::string in_container(const std::string& name, const std::string& line) const {
    const auto output = lab_->node(1).exec({"runc", "exec", name, "sh", "-c", line}, soon());
    return output ? output->text : output.error().message;
  }
  [[nodiscard]] bool redis_answers(const std::string& address) const {
    const auto output = lab_->outside().exec_checked(
        {"sh", "-c", "for i in $(seq 50); do redis-cli -h $0 ping && exit; sleep 0.1; done; exit 1", address}, soon());
    return output.has_value() && output->ends_with("PONG\n");
  }

  std::unique_ptr<Lab> lab_;
};

const std::vector<std::string> redis = {"redis-server", "--save", "", "--protected-mode", "no"};

TEST_F(ContainerTest, AnswersAClientOutside) {
  make({.name = "db", .args = redis, .address = "10.88.1.5/16"});
  EXPECT_TRUE(redis_answers("10.88.1.5"));
  const auto neighbour = lab_->outside().exec_checked({"ip", "neighbour", "show", "10.88.1.5"}, soon());
  EXPECT_THAT(neighbour.value_or("?"), HasSubstr("02:00:0a:58:01:05"));
}

TEST_F(ContainerTest, SurvivesCheckpointAndRestore) {
  make({.name = "db", .args = redis, .address = "10.88.1.5/16"});
  ASSERT_TRUE(redis_answers("10.88.1.5"));
  const auto moved = lab_->node(1).exec_checked(
      {"sh", "-c",
       "cd $0 && runc checkpoint --image-path /tmp/images --tcp-established db && ! runc state db 2>/dev/null && "
       "runc restore --detach --image-path /tmp/images --tcp-established db </dev/null >/dev/null 2>&1",
       bundle_path("db")},
      Deadline::after(seconds(60)));
  ASSERT_TRUE(moved) << moved.error().message;
  EXPECT_TRUE(redis_answers("10.88.1.5"));
}

TEST_F(ContainerTest, IsFencedIn) {
  make({.name = "box",
        .args = {"sleep", "1000"},
        .address = "10.88.1.7/16",
        .environment = {"COLOUR=blue"},
        .uid = 1000,
        .gid = 1000,
        .memory_limit_bytes = 64 << 20,
        .tmpfs = {"/scratch"}});
  EXPECT_EQ(in_container("box", "hostname; id -u; echo $COLOUR; cat /proc/1/comm"), "box\n1000\nblue\nsleep\n");
  EXPECT_THAT(in_container("box", "cat /proc/mounts"), HasSubstr("/scratch tmpfs"));
  EXPECT_THAT(in_container("box", "ls -l /proc/1/fd"), testing::Not(HasSubstr("pipe")));
  const auto limit = lab_->node(1).exec_checked(
      {"sh", "-c",
       "cat /sys/fs/cgroup/memory/box/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/box/memory.max"},
      soon());
  EXPECT_EQ(limit.value_or("?"), "67108864\n");
}

TEST_F(ContainerTest, WritesToItsOwnLayer) {
  make({.name = "writer", .args = {"sh", "-c", "echo kept > /root/file; sleep 1000"}, .address = "10.88.1.8/16"});
  const std::string layer = lab_->node(1).root_path() + bundle_path("writer") + "/upper/root/file";
  for (const Deadline deadline = soon(); os::read_file(layer).value_or("") != "kept\n";) {
    ASSERT_FALSE(deadline.expired());
    std::this_thread::sleep_for(milliseconds(10));
  }
}

TEST_F(ContainerTest, FailureSaysWhyAndCleansUp) {
  const ContainerSpec spec{.name = "bad", .args = {"/no/such/program"}, .address = "10.88.1.6/16"};
  for (int attempt = 0; attempt < 2; ++attempt) {
    const auto made = lab_->node(1).make_container(spec);
    ASSERT_FALSE(made);
    EXPECT_THAT(made.error().message, HasSubstr("/no/such/program")) << "attempt " << attempt;
  }
  EXPECT_FALSE(os::exists(lab_->node(1).root_path() + container_netns_path("bad")));
  EXPECT_FALSE(os::exists(lab_->node(1).root_path() + bundle_path("bad")));
  EXPECT_THAT(lab_->node(1).exec_checked({"ip", "-br", "link"}, soon()).value_or("?"),
              testing::Not(HasSubstr(*cable_name(spec.address))));
}

TEST_F(ContainerTest, CanBeRemovedAndMadeAgain) {
  for (int round = 0; round < 2; ++round) {
    make({.name = "db", .args = redis, .address = "10.88.1.5/16"});
    EXPECT_TRUE(redis_answers("10.88.1.5"));
    const auto removed = lab_->node(1).remove_container("db");
    ASSERT_TRUE(removed) << removed.error().message;
  }
}

}  // namespace
}  // namespace godwit::lab
