// Pods of a StatefulSet: they keep their names, and so their objects go before they move.
#include <gmock/gmock.h>

#include "pods_cluster.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class StatefulTest : public PodsTest {
 protected:
  [[nodiscard]] json migrate_db(const std::string& destination = "") const {
    return migrate("db-0", destination)["status"];
  }
  void expect_untouched(Clients& clients) const {
    const json report = clients.report();
    EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
    EXPECT_GT(report.value("requests", 0), 100);
    fmt::print("clients: {}\n", report.dump());
  }
  // What was made for the migration and nothing else needs.
  void expect_nothing_left() const {
    EXPECT_THAT(kubectl({"get", "mutatingwebhookconfigurations", "-o", "name"}), Not(HasSubstr(space_)));
    EXPECT_EQ(kubectl({"get", "endpointslices", "-l", "live.cast.ai/moving-pod", "-o", "name"}), "");
    EXPECT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].size() == 1; }));
  }
};

TEST_F(StatefulTest, APodMovesUnderItsNameWithItsVolumeAndConnections) {
  start_stateful_redis();
  const json before = pod("db-0");
  const std::string address = before["status"].value("podIP", "");
  const std::string service = get({"service", "db"})["spec"].value("clusterIP", "");
  Clients direct(node(0), address, 6379, "direct");
  Clients through_service(node(1), service, 6379, "service");
  for (int move = 1; move <= 3; ++move) {
    const json status = migrate_db();
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
    EXPECT_EQ(status.value("cloneName", ""), "db-0");
    const json moved = pod("db-0");
    EXPECT_EQ(moved["spec"].value("nodeName", ""), status.value("destinationNode", ""));
    EXPECT_NE(moved["metadata"]["uid"], before["metadata"]["uid"]);
    EXPECT_EQ(moved["metadata"]["ownerReferences"], before["metadata"]["ownerReferences"]);
    EXPECT_EQ(moved["status"].value("podIP", ""), address);
    EXPECT_EQ(moved["status"]["containerStatuses"][0].value("restartCount", -1), 0);
    fmt::print("move {}: {} -> {}, pause {} ms\n", move, status.value("sourceNode", ""),
               status.value("destinationNode", ""), status.value("pauseMs", 0.0));
  }
  EXPECT_EQ(kubectl({"exec", "db-0", "--", "redis-cli", "get", "stopped"}), "\n") << "no preStop hook has run";
  EXPECT_EQ(get({"statefulset", "db"})["status"].value("readyReplicas", 0), 1);
  expect_untouched(direct);
  expect_untouched(through_service);
  expect_nothing_left();
}

// While the pod's object is made anew, its Service has it all the same: on all nodes but the destination, whose
// kube-proxy prefers the pod of its own node with that address, which is not Ready yet.
TEST_F(StatefulTest, NewConnectionsThroughTheServiceAreTakenThroughout) {
  start_stateful_redis();
  const std::string service = get({"service", "db"})["spec"].value("clusterIP", "");
  const int home = node_of("db-0");
  const int destination = other_than({home});
  NewConnections clients(node(other_than({home, destination})), service, 6379);
  const json status = migrate_db(node(destination).name());
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
  EXPECT_GT(report.value("requests", 0), 20) << report.dump(1);
}

TEST_F(StatefulTest, AMoveThatFailsAfterTheNameHasMovedIsBroughtBack) {
  start_stateful_redis();
  const std::string source = node_name_of("db-0");
  const int other = source == "node-1" ? 2 : 1;
  Clients clients(node(0), pod("db-0")["status"].value("podIP", ""), 6379, "back");
  stop_agent(other);
  const json status = migrate_db(node(other).name());
  start_agent(other);
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), HasSubstr("brought back on its original node " + source));
  EXPECT_EQ(node_name_of("db-0"), source);
  EXPECT_EQ(pod("db-0")["status"]["containerStatuses"][0].value("restartCount", -1), 0);
  expect_untouched(clients);
  expect_nothing_left();
  enable_all_nodes_but("");
  EXPECT_EQ(migrate_db(node(other).name()).value("state", ""), "Completed") << "and later it can";
}

TEST_F(StatefulTest, OneThatIsBeingUpdatedIsRefused) {
  start_stateful_redis();
  kubectl(
      {"patch", "statefulset", "db", "--type=merge", "-p",
       R"({"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}, "template": {"metadata": {"labels": {"v": "2"}}}}})"});
  EXPECT_TRUE(eventually(soon(), [&] {
    const json status = get({"statefulset", "db"})["status"];
    return status.value("updateRevision", "") != status.value("currentRevision", "");
  }));
  const std::string source = node_name_of("db-0");
  const json status = migrate_db();
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), HasSubstr("being updated"));
  EXPECT_EQ(node_name_of("db-0"), source);
}

}  // namespace
}  // namespace godwit
