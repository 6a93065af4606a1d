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

TEST_F(NodeTest, ComesBackWithItsDiskAndItsCertificateAndNothingElse) {
  const std::string files = "/var/lib/godwit/kept /root/lost";
  ASSERT_TRUE(lab_->node(2).exec_checked({"sh", "-c", "touch " + files}, soon()));
  const std::string certificate = os::read_file(lab_->node(2).root_path() + "/etc/godwit/node.pem").value_or("?");
  for (int round = 0; round < 2; ++round) {
    EXPECT_FALSE(lab_->restart_node(2)) << "it runs";
    const auto killed = lab_->kill_node(2);
    ASSERT_TRUE(killed) << killed.error().message;
    const auto restarted = lab_->restart_node(2);
    ASSERT_TRUE(restarted) << restarted.error().message;
    EXPECT_EQ(lab_->node(2).exec_checked({"sh", "-c", "ls -d " + files + " 2>/dev/null || :"}, soon()).value_or("?"),
              "/var/lib/godwit/kept\n");
    EXPECT_EQ(os::read_file(lab_->node(2).root_path() + "/etc/godwit/node.pem").value_or("?"), certificate);
    EXPECT_TRUE(reaches(lab_->node(1), "node-2"));
    EXPECT_TRUE(reaches(lab_->node(2), "outside"));
    EXPECT_EQ(lab_->node(2).exec_checked({"hostname"}, soon()).value_or("?"), "node-2\n");
  }
  const std::string name = lab_->name();
  const auto namespaces = namespaces_of(*lab_);
  const auto stopped = lab_->stop();
  ASSERT_TRUE(stopped) << stopped.error().message;
  EXPECT_THAT(traces_of(name, namespaces), testing::IsEmpty());
}

TEST_F(NodeTest, SharesAFolderWithAllOthers) {
  ASSERT_TRUE(lab_->node(1).exec_checked({"sh", "-c", "echo hello > /srv/shared/file"}, soon()));
  EXPECT_EQ(lab_->node(2).exec_checked({"cat", "/srv/shared/file"}, soon()).value_or("?"), "hello\n");
  EXPECT_EQ(lab_->outside().exec_checked({"cat", "/srv/shared/file"}, soon()).value_or("?"), "hello\n");
}

TEST_F(NodeTest, SeesWhatItIsGivenOfTheMachine) {
  auto lab = Lab::start({.nodes = 1,
                         .binds = {{.source = "/etc/os-release", .target = "/opt/given/release"},
                                   {.source = "/etc/ssl", .target = "/opt/given/folder", .read_only = false}}});
  ASSERT_TRUE(lab) << lab.error().message;
  EXPECT_EQ(lab->node(1).exec_checked({"cat", "/opt/given/release"}, soon()).value_or("?"),
            os::read_file("/etc/os-release").value_or("-"));
  EXPECT_EQ(lab->node(1).exec({"sh", "-c", "echo >> /opt/given/release"}, soon())->status, 2) << "read-only";
  EXPECT_TRUE(lab->outside().exec_checked({"test", "-d", "/opt/given/folder"}, soon()));
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
