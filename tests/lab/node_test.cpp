// A node is a machine to what runs in it.
#include <fcntl.h>
#include <signal.h>

#include <gmock/gmock.h>

#include "traces.h"

namespace godwit::lab {
namespace {

using testing::HasSubstr;

class NodeTest : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_ROOT();
    auto started = Lab::start({.nodes = 2, .data_limit_bytes = 8 << 20});
    ASSERT_TRUE(started) << started.error().message;
    lab_ = std::make_unique<Lab>(std::move(*started));
  }

  [[nodiscard]] bool reaches(const Node& from, const std::string& target) const {
    const auto output = from.exec({"ping", "-c1", "-W1", target}, soon());
    return output.has_value() && output->status == 0;
  }

  std::unique_ptr<Lab> lab_;
};

TEST_F(NodeTest, HasItsOwnNameProcessesFilesAndNetwork) {
  const Node& node = lab_->node(2);
  EXPECT_EQ(node.exec_checked({"hostname"}, soon()).value_or("?"), "node-2\n");
  EXPECT_EQ(node.exec_checked({"sh", "-c", "cat /proc/1/comm"}, soon()).value_or("?"), "node-2\n");
  const auto addresses = node.exec_checked({"ip", "-br", "address"}, soon());
  EXPECT_THAT(addresses.value_or("?"), HasSubstr("10.88.0.12/16"));
  ASSERT_TRUE(node.exec_checked({"sh", "-c", "echo mine > /root/file"}, soon()));
  EXPECT_EQ(os::read_file(node.root_path() + "/root/file").value_or("?"), "mine\n");
  EXPECT_FALSE(os::exists(lab_->node(1).root_path() + "/root/file"));
  // Its cgroups begin at its own.
  EXPECT_THAT(node.exec_checked({"cat", "/proc/self/cgroup"}, soon()).value_or("?"), testing::Not(HasSubstr("lab")));
  EXPECT_TRUE(node.exec_checked({"test", "-x", "/opt/godwit/bin/godwit-lab"}, soon()));
}

TEST_F(NodeTest, RunsCriu) {
  const auto checked = lab_->node(1).exec_checked({"criu", "check"}, soon());
  EXPECT_TRUE(checked) << checked.error().message;
}

TEST_F(NodeTest, PassesStatusOutputEnvironmentAndSignals) {
  const Node& node = lab_->node(1);
  const auto output = node.exec({"sh", "-c", "echo \"$WORD $PWD\"; echo e >&2; exit 7"}, soon(),
                                {.environment = {"WORD=a b"}, .directory = "/opt"});
  ASSERT_TRUE(output) << output.error().message;
  EXPECT_EQ(output->status, 7);
  EXPECT_EQ(output->text, "a b /opt\ne\n");
  EXPECT_EQ(node.exec({"no-such-program"}, soon())->status, 125);

  auto sleeper = node.spawn({"sh", "-c", "trap 'exit 3' TERM; touch /tmp/ready; while :; do sleep 0.01; done"});
  ASSERT_TRUE(sleeper) << sleeper.error().message;
  for (const Deadline deadline = soon(); !os::exists(node.root_path() + "/tmp/ready") && !deadline.expired();) {
    std::this_thread::sleep_for(milliseconds(5));
  }
  ::kill(sleeper->pid(), SIGTERM);
  EXPECT_EQ(sleeper->wait(soon()).value_or(-1), 3);
}

TEST_F(NodeTest, KillingTheHandleKillsTheProgram) {
  const Node& node = lab_->node(1);
  // Zombies do not count: a killed helper's child is reaped by the machine's init, which may take its time.
  const auto runs = [&] {
    return node.exec({"pgrep", "--runstates", "D,R,S", "--full", "sleep 4242"}, soon())->status == 0;
  };
  {
    auto sleeper = node.spawn({"sleep", "4242"});
    ASSERT_TRUE(sleeper) << sleeper.error().message;
    for (const Deadline deadline = soon(); !runs();) ASSERT_FALSE(deadline.expired());
  }
  for (const Deadline deadline = soon(); runs();) ASSERT_FALSE(deadline.expired());
}

TEST_F(NodeTest, ReachesOthersByNameUntilItsCableIsCut) {
  EXPECT_TRUE(reaches(lab_->node(1), "node-2"));
  EXPECT_TRUE(reaches(lab_->outside(), "node-1"));
  ASSERT_TRUE(lab_->cut_network(1));
  EXPECT_FALSE(reaches(lab_->node(1), "node-2"));
  EXPECT_FALSE(reaches(lab_->outside(), "node-1"));
  EXPECT_TRUE(reaches(lab_->outside(), "node-2"));
  ASSERT_TRUE(lab_->restore_network(1));
  EXPECT_TRUE(reaches(lab_->node(1), "node-2"));
}

TEST_F(NodeTest, DiesAlone) {
  const auto killed = lab_->kill_node(2);
  ASSERT_TRUE(killed) << killed.error().message;
  EXPECT_FALSE(reaches(lab_->outside(), "node-2"));
  EXPECT_TRUE(reaches(lab_->outside(), "node-1"));
  const auto there = lab_->node(2).exec({"true"}, soon());
  EXPECT_TRUE(!there || there->status != 0);
  const auto stopped = lab_->stop();
  EXPECT_TRUE(stopped) << stopped.error().message;
}

TEST_F(NodeTest, ItsDiskCanBeFull) {
  const auto written =
      lab_->node(1).exec({"dd", "if=/dev/zero", "of=/var/lib/godwit/file", "bs=1M", "count=9"}, soon());
  ASSERT_TRUE(written) << written.error().message;
  EXPECT_THAT(written->text, HasSubstr("No space left"));
}

TEST_F(NodeTest, HoldsACertificateThatItsAuthoritySigned) {
  for (const int index : {1, 2}) {
    const auto verified = lab_->node(index).exec_checked(
        {"sh", "-c",
         "cd /etc/godwit && stat -c %a node.key && openssl verify -CAfile ca.pem -purpose sslserver node.pem && "
         "openssl verify -CAfile ca.pem -purpose sslclient -verify_hostname $(hostname) node.pem"},
        soon());
    ASSERT_TRUE(verified) << verified.error().message;
    EXPECT_EQ(*verified, "600\nnode.pem: OK\nnode.pem: OK\n");
  }
}

}  // namespace
}  // namespace godwit::lab
