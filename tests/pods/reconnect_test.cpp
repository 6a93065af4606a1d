// Pods that move and lose their connections: both ends hear of it, and go on.
#include <gmock/gmock.h>

#include "os/file.h"
#include "pods_cluster.h"

namespace godwit {
namespace {

using testing::HasSubstr;
using testing::Not;

class ReconnectTest : public PodsOnAnyNetwork {
 protected:
  static void expect_told(Clients& clients) {
    const json report = clients.report();
    EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
    EXPECT_GT(report.value("requests", 0), 0);
    EXPECT_GE(report.value("least_breaks", 0), 1) << report.dump(1);
    EXPECT_EQ(report.value("waiters_told", 0), 1) << "it has sent nothing: only the other side could tell it";
    fmt::print("clients: {}\n", report.dump());
  }
  [[nodiscard]] std::string connections_of(const std::string& name) const {
    return kubectl({"exec", name, "--", "redis-cli", "client", "list"});
  }
};

INSTANTIATE_FOR_BOTH_NETWORKS(ReconnectTest);

TEST_P(ReconnectTest, APodWithANewAddressAndItsClientsKnowThatTheyHaveToConnectAnew) {
  start_redis();
  const std::string original = only_pod();
  const std::string before = address_of(original);
  const int home = node_of(original);
  const int other = other_than({home});
  const std::string client = start_client_pod(other_than({home, other}));
  const std::string service = get({"service", "redis"})["spec"].value("clusterIP", "");
  kubectl({"exec", original, "--", "redis-cli", "set", "kept", "yes"});
  Clients clients(node(other_than({home, other})), service, 6379, "again", client, {"reconnect"});
  const json status = migrate(original, node(other).name(), {{"networkMode", "Reconnect"}})["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  EXPECT_EQ(status.value("networkMode", ""), "Reconnect");
  const std::string name = only_pod();
  const std::string after = address_of(name);
  EXPECT_NE(after, before);
  EXPECT_THAT(reserved(other), testing::Contains(after)) << "it is one of the destination's own";
  EXPECT_EQ(pod(name)["status"]["containerStatuses"][0].value("restartCount", -1), 0);
  EXPECT_EQ(kubectl({"exec", name, "--", "redis-cli", "get", "kept"}), "yes\n");
  EXPECT_TRUE(eventually(patient(), [&] { return connections_of(name).contains("laddr=" + after); }))
      << connections_of(name);
  EXPECT_THAT(connections_of(name), Not(HasSubstr("laddr=" + before))) << "the program knows that these have ended";
  EXPECT_TRUE(eventually(patient(), [&] { return !reserved(home).contains(before); }))
      << "the old address is free when its pod is gone";
  expect_told(clients);
  // And with the new one it can go on, and keep that.
  EXPECT_EQ(address_of(move(name, home)), after);
}

TEST_P(ReconnectTest, WithoutTcpTheAddressIsKeptAndConnectionsEnd) {
  start_redis();
  const std::string original = only_pod();
  const std::string address = address_of(original);
  const int home = node_of(original);
  const int other = other_than({home});
  const std::string client = start_client_pod(other_than({home, other}));
  Clients clients(node(other_than({home, other})), address, 6379, "again", client, {"reconnect"});
  const json status = migrate(original, node(other).name(), {{"withTcp", false}})["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  EXPECT_EQ(status.value("networkMode", ""), "Preserve");
  const std::string name = only_pod();
  EXPECT_EQ(address_of(name), address);
  // Those that the clients have made since, and no others.
  EXPECT_TRUE(eventually(patient(), [&] { return connections_of(name).contains("cmd=incr"); })) << connections_of(name);
  EXPECT_THAT(connections_of(name), Not(HasSubstr("cmd=blpop"))) << "the program knows that this one has ended";
  expect_told(clients);
}

// A node whose pods are at a bridge with a range of its own.
class OtherRangeTest : public PodsTest {
 protected:
  void give_range(int number, const std::string& subnet) {
    const std::string path = node(number).root_path() + "/etc/cni/net.d/10-flat.conflist";
    before_ = os::read_file(path).value_or("");
    path_ = path;
    json list = json::parse(before_);
    list["plugins"][0]["delegate"]["ipam"]["ranges"] = {{{{"subnet", subnet + ".0/24"}, {"gateway", subnet + ".1"}}}};
    ASSERT_TRUE(os::write_file_atomic(path, list.dump(), 0644));
    // For the kubelet's probes: the answers go to the gateway.
    gateway_ = {.node = number, .address = subnet + ".1/24"};
    ASSERT_TRUE(node(number).exec_checked({"ip", "address", "add", gateway_.address, "dev", "br0"}, soon()));
  }
  void TearDown() override {
    if (!path_.empty()) EXPECT_TRUE(os::write_file_atomic(path_, before_, 0644));
    if (gateway_.node > 0) {
      EXPECT_TRUE(node(gateway_.node).exec_checked({"ip", "address", "del", gateway_.address, "dev", "br0"}, soon()));
    }
    PodsTest::TearDown();
  }

 private:
  struct Gateway {
    int node = 0;
    std::string address;
  };
  std::string before_;
  std::string path_;
  Gateway gateway_;
};

TEST_F(OtherRangeTest, AutoReconnectsWhereTheAddressCannotLiveAndPreserveSaysWhy) {
  start_redis();
  const std::string name = only_pod();
  const std::string address = address_of(name);
  const int other = other_than({node_of(name)});
  give_range(other, "10.89.7");
  json status = migrate(name, node(other).name(), {{"networkMode", "Preserve"}})["status"];
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), HasSubstr(address + "/16 is not of the network of the pods of this node"));
  EXPECT_EQ(only_pod(), name);
  status = migrate(name, node(other).name())["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  EXPECT_EQ(status.value("networkMode", ""), "Reconnect");
  EXPECT_THAT(address_of(only_pod()), HasSubstr("10.89.7."));
}

}  // namespace
}  // namespace godwit
