// The rows of the node labels and the pod labels.
#include <gmock/gmock.h>

#include "rows.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class LabelsTest : public RowTest {
 protected:
  [[nodiscard]] std::string label_of(const std::string& object, const std::string& label) const {
    return get({object})["metadata"].value("labels", json::object()).value(label, "(none)");
  }
  void expect_pod_label(const std::string& name, const std::string& value) const {
    EXPECT_TRUE(eventually(soon(), [&] { return label_of("pod/" + name, "live.cast.ai/migration-enabled") == value; }))
        << kubectl({"get", "pods", "--show-labels"});
  }
  // Instead of the template of all nodes: two, for disjoint ones.
  void split_nodes(const std::string& apart) const {
    enable_all_nodes_but(apart);
    apply(json{{"apiVersion", "live.cast.ai/v1"},
               {"kind", "NodeTemplate"},
               {"metadata", {{"name", "apart"}}},
               {"spec",
                {{"nodeSelector", {{"matchLabels", {{"kubernetes.io/hostname", apart}}}}},
                 {"customNetwork", true},
                 {"liveMigration", {{"enabled", true}}}}}}
              .dump());
    EXPECT_TRUE(eventually(soon(), [&] {
      const std::string node = "node/" + apart;
      return label_of(node, "live.cast.ai/custom-network") == "true" &&
             label_of(node, "live.cast.ai/migration-enabled") == "true";
    })) << kubectl({"get", "nodes", "--show-labels"});
  }
};

TEST_F(LabelsTest, NodeMigrationEnabled) {
  for (const std::string name : {"node/node-1", "node/node-2", "node/node-3"}) {
    EXPECT_EQ(label_of(name, "live.cast.ai/migration-enabled"), "true");
  }
  enable_all_nodes_but("node-2");
  EXPECT_EQ(label_of("node/node-2", "live.cast.ai/migration-enabled"), "(none)");
}

TEST_F(LabelsTest, NodeCustomNetwork) {
  EXPECT_EQ(label_of("node/node-1", "live.cast.ai/custom-network"), "(none)");
  start_pod("cache");
  const std::string source = node_name_of("cache");
  const std::string other = node(other_node("cache")).name();
  split_nodes(other);
  const json status = migrate("cache", other)["status"];
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_THAT(status.value("message", ""), AllOf(HasSubstr(other), HasSubstr("live.cast.ai/custom-network")));
  const json chosen = migrate("cache")["status"];
  EXPECT_EQ(chosen.value("state", ""), "Completed") << chosen.value("message", "");
  EXPECT_NE(chosen.value("destinationNode", ""), other) << "only nodes alike are destinations";
  kubectl({"delete", "nodetemplate", "apart"});
  EXPECT_TRUE(eventually(soon(), [&] { return label_of("node/" + other, "live.cast.ai/custom-network") == "(none)"; }));
}

TEST_F(LabelsTest, PodMigrationEnabled) {
  start_pod("cache");
  expect_pod_label("cache", "true");
  kubectl({"label", "pod", "cache", "autoscaling.cast.ai/live-migration-disabled=true"});
  expect_pod_label("cache", "(none)");
  kubectl({"label", "pod", "cache", "autoscaling.cast.ai/live-migration-disabled-"});
  expect_pod_label("cache", "true");
  kubectl({"label", "pod", "cache", "live.cast.ai/migration-enabled=no", "--overwrite"});
  expect_pod_label("cache", "true");
}

TEST_F(LabelsTest, PodLiveMigrationDisabled) {
  start_pod("cache", {{"metadata", {{"labels", {{"autoscaling.cast.ai/live-migration-disabled", "true"}}}}}});
  const std::string uid = uid_of("cache");
  const std::string name = order("cache");
  const json status = outcome(name);
  EXPECT_EQ(status.value("state", ""), "Failed");
  EXPECT_EQ(status.value("reason", ""), "NotEligible");
  EXPECT_THAT(status.value("message", ""), HasSubstr("autoscaling.cast.ai/live-migration-disabled=true"));
  expect_event(name, "MigrationFailed", "Failed", "live-migration-disabled");
  EXPECT_EQ(uid_of("cache"), uid);
}

// It may be migrated; a move that fails leaves the very pod where it was.
TEST_F(LabelsTest, PodRemovalDisabled) {
  start_pod("cache", {{"metadata", {{"labels", {{"autoscaling.cast.ai/removal-disabled", "true"}}}}}});
  expect_pod_label("cache", "true");
  const std::string uid = uid_of("cache");
  const std::string source = node_name_of("cache");
  const int other = other_node("cache");
  Clients clients(node(0), address_of("cache"), 6379, "stays");
  stop_agent(other);
  const json failed = migrate("cache", node(other).name())["status"];
  start_agent(other);
  EXPECT_EQ(failed.value("state", ""), "Failed");
  EXPECT_THAT(pod_names(), ElementsAre("cache"));
  EXPECT_EQ(uid_of("cache"), uid);
  EXPECT_EQ(node_name_of("cache"), source);
  EXPECT_EQ(restarts("cache"), 0);
  enable_all_nodes_but("");
  const json moved = migrate("cache", node(other).name())["status"];
  EXPECT_EQ(moved.value("state", ""), "Completed") << moved.value("message", "");
  EXPECT_EQ(label_of("pod/cache-clone-1", "autoscaling.cast.ai/removal-disabled"), "true") << "it goes along";
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
}

TEST_F(LabelsTest, PodBothOptOuts) {
  start_pod("cache", {{"metadata",
                       {{"labels",
                         {{"autoscaling.cast.ai/live-migration-disabled", "true"},
                          {"autoscaling.cast.ai/removal-disabled", "true"}}}}}});
  const std::string uid = uid_of("cache");
  EXPECT_EQ(migrate("cache")["status"].value("state", ""), "Failed");
  EXPECT_EQ(uid_of("cache"), uid);
  EXPECT_EQ(label_of("pod/cache", "live.cast.ai/migration-enabled"), "(none)");
}

}  // namespace
}  // namespace godwit
