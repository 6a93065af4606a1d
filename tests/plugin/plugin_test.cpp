// The verbs of `kubectl godwit` as typed, each with its exit status.
#include <gmock/gmock.h>

#include "cluster/faults.h"
#include "plugin_cluster.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::Not;

// A node's cable is slow as long as this lives.
class SlowLink {
 public:
  SlowLink(const cluster::Cluster& cluster, int node, int rate_kbit_s) : cluster_(cluster), node_(node) {
    EXPECT_TRUE(cluster::slow_link(cluster_, node_, {.rate_kbit_s = rate_kbit_s}));
  }
  ~SlowLink() { EXPECT_TRUE(cluster::slow_link(cluster_, node_, {})); }
  SlowLink(const SlowLink&) = delete;
  SlowLink& operator=(const SlowLink&) = delete;

 private:
  const cluster::Cluster& cluster_;
  int node_;
};

TEST_F(PluginTest, MigrateMovesAPodAndEndsWithTheVerdict) {
  start_redis();
  const std::string name = only_pod();
  const std::string source = node_name_of(name);
  const std::string target = source == "node-1" ? "node-2" : "node-1";
  const os::Output output = godwit({"migrate", "pod/" + name, "--to", target, "--timeout", "80s"});
  EXPECT_EQ(output.status, 0) << output.text;
  EXPECT_THAT(output.text,
              AllOf(HasSubstr("Moving " + name + " from " + source + " to " + target), HasSubstr("round  dirty pages"),
                    HasSubstr("pre-dump"), HasSubstr("runs on " + target + " as " + name + "-clone-1"),
                    ContainsRegex("after a pause of [0-9.]+ ms")));
  EXPECT_EQ(only_pod(), name + "-clone-1");
  EXPECT_EQ(node_name_of(only_pod()), target);
  EXPECT_EQ(get({"migrations"})["items"][0]["status"].value("state", ""), "Completed") << "it stays, to be looked at";
  fmt::print("{}", output.text);
}

TEST_F(PluginTest, CtrlCCancelsAndSaysWhatCameOfIt) {
  start_redis();
  const std::string name = only_pod();
  const std::string source = node_name_of(name);
  const int target = source == "node-1" ? 2 : 1;
  kubectl({"exec", name, "--", "sh", "-c", "head -c 64000000 /dev/urandom | redis-cli -x set big"});
  // So the first round alone takes half a minute.
  const SlowLink slow(cluster(), target, 16'000);
  const auto session = start_godwit({"migrate", name, "--to", node(target).name()});
  ASSERT_NE(session, nullptr);
  EXPECT_TRUE(session->says("Moving " + name, patient())) << session->output();
  EXPECT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].size() == 2; })) << "the clone is there";
  session->interrupt();
  EXPECT_EQ(session->wait(patient()), 1);
  EXPECT_THAT(session->output(),
              AllOf(HasSubstr("Cancelling"), HasSubstr("Cancelled: "), HasSubstr("stays on node " + source)));
  EXPECT_TRUE(eventually(patient(), [&] { return get({"migrations"})["items"].empty(); }));
  EXPECT_TRUE(eventually(patient(), [&] { return get({"pods"})["items"].size() == 1; }));
  EXPECT_EQ(only_pod(), name);
  EXPECT_EQ(node_name_of(name), source);
  EXPECT_EQ(pod(name)["status"]["containerStatuses"][0].value("restartCount", -1), 0);
  EXPECT_EQ(kubectl({"exec", name, "--", "redis-cli", "strlen", "big"}), "64000000\n") << "it runs on";
}

TEST_F(PluginTest, MigrateTellsWhatCannotBeDone) {
  EXPECT_EQ(godwit({"migrate"}).status, 2);
  const os::Output no_pod = godwit({"migrate", "nothing"});
  EXPECT_EQ(no_pod.status, 1);
  EXPECT_THAT(no_pod.text, HasSubstr("there is no pod nothing in namespace " + space_));
  start_redis();
  const std::string name = only_pod();
  const os::Output no_node = godwit({"migrate", name, "--to", "node-9"});
  EXPECT_EQ(no_node.status, 1);
  EXPECT_THAT(no_node.text, HasSubstr("was not moved: there is no node node-9"));
  const os::Output here = godwit({"migrate", name, "--to", node_name_of(name)});
  EXPECT_EQ(here.status, 1);
  EXPECT_THAT(here.text, AllOf(HasSubstr("already"), HasSubstr("kubectl godwit explain " + name)));
  EXPECT_EQ(only_pod(), name);
}

TEST_F(PluginTest, ExplainListsEveryRequirement) {
  start_redis();
  const std::string name = only_pod();
  EXPECT_TRUE(
      eventually(soon(), [&] { return godwit({"explain", name}).text.find("does not say so") == std::string::npos; }));
  const os::Output eligible = godwit({"explain", "pod/" + name});
  EXPECT_EQ(eligible.status, 0) << eligible.text;
  EXPECT_THAT(eligible.text, AllOf(HasSubstr("its volumes can go along"), HasSubstr("Other nodes:"),
                                   HasSubstr("can take it"), HasSubstr(name + " can be migrated.")));
  const std::string source = node_name_of(name);
  enable_all_nodes_but(source);
  const os::Output bare = godwit({"explain", name});
  enable_all_nodes_but("");
  EXPECT_EQ(bare.status, 1) << bare.text;
  EXPECT_THAT(bare.text, AllOf(HasSubstr("node " + source + " is not enabled"), HasSubstr("kubectl godwit nodes")));

  const os::Output missing = godwit({"explain", "nothing"});
  EXPECT_EQ(missing.status, 2);
  EXPECT_THAT(missing.text, HasSubstr("there is no pod nothing"));
  EXPECT_EQ(godwit({"explain", "deployment/redis"}).status, 2);
}

TEST_F(PluginTest, ExplainSaysWhyAPodIsIneligible) {
  apply(R"({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bound"},
            "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "hostPID": true,
                     "containers": [{"name": "a", "image": "godwit.test/tiny:1", "imagePullPolicy": "Never",
                                     "command": ["sleep", "1000"], "tty": true,
                                     "volumeMounts": [{"name": "logs", "mountPath": "/logs"}]}],
                     "volumes": [{"name": "logs", "hostPath": {"path": "/var/log"}}]}})");
  kubectl({"wait", "--for=condition=Ready", "pod/bound", "--timeout=60s"});
  const os::Output output = godwit({"explain", "bound"});
  EXPECT_EQ(output.status, 1);
  EXPECT_THAT(output.text,
              AllOf(HasSubstr("its volume logs is a hostPath"), HasSubstr("its container a has a terminal"),
                    HasSubstr("hostPID"), HasSubstr("What to do: "), HasSubstr("cannot be migrated: 4 of 9")));
  const os::Output refused = godwit({"migrate", "bound"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.text, AllOf(HasSubstr("hostPath"), HasSubstr("kubectl godwit explain bound")));
}

TEST_F(PluginTest, WatchShowsMigrationsAsTheyHappen) {
  start_redis();
  const auto session = start_godwit({"watch", "-A"});
  ASSERT_NE(session, nullptr);
  EXPECT_TRUE(session->says("Watching", soon())) << session->output();
  const json migration = migrate(only_pod());
  const std::string name = space_ + "/" + migration["metadata"].value("name", "");
  for (const std::string words :
       {"Pending: ", "Running: ", "PreDumpFinished: ", "PodCreateFinished: ", "Completed: ", "MigrationFinished: "}) {
    EXPECT_TRUE(session->says(name + "  " + words, soon())) << words << "\n" << session->output();
  }
  session->interrupt();
  EXPECT_EQ(session->wait(soon()), 0);
}

TEST_F(PluginTest, NodesAreListedWithTheReason) {
  enable_all_nodes_but("node-2");
  EXPECT_TRUE(eventually(soon(), [&] {
    const os::Output output = godwit({"nodes"});
    return output.status == 0 && output.text.find("node-2  no") != std::string::npos;
  })) << godwit({"nodes"}).text;
  const std::string text = godwit({"nodes"}).text;
  EXPECT_THAT(text,
              AllOf(ContainsRegex("node-1 +yes +yes +answers +all"), ContainsRegex("node-2 +no +yes .*NotEnabled"),
                    HasSubstr("node-2: no node template selects it")));
  enable_all_nodes_but("");
  stop_agent(3);
  EXPECT_TRUE(eventually(patient(), [&] {
    const std::string now = godwit({"nodes"}).text;
    return now.find("AgentSilent") != std::string::npos && now.find("node-3  no") != std::string::npos;
  })) << godwit({"nodes"}).text;
  start_agent(3);
  enable_all_nodes_but("");
}

TEST_F(PluginTest, AUserWithFewRightsIsToldWhatIsForbiddenAndGetsTheRest) {
  start_redis();
  const std::string user = make_user();
  const std::string name = only_pod();
  EXPECT_TRUE(eventually(soon(), [&] { return godwit({"explain", name, "--as", user}).status == 0; }))
      << godwit({"explain", name, "--as", user}).text;
  EXPECT_THAT(godwit({"explain", name, "--as", user}).text,
              AllOf(HasSubstr("nodetemplates cannot be read"), HasSubstr("forbidden"), HasSubstr("can be migrated")));
  const os::Output nodes = godwit({"nodes", "--as", user});
  EXPECT_EQ(nodes.status, 0) << nodes.text;
  EXPECT_THAT(nodes.text, AllOf(HasSubstr("nodetemplates cannot be read"), ContainsRegex("node-1 +yes")));

  const os::Output moved = godwit({"migrate", name, "--as", user});
  EXPECT_EQ(moved.status, 0) << moved.text;
  EXPECT_THAT(moved.text,
              AllOf(HasSubstr("Its events cannot be shown"), HasSubstr("forbidden"), HasSubstr("runs on ")));

  const os::Output nobody = godwit({"migrate", only_pod(), "--as", "nobody"});
  EXPECT_EQ(nobody.status, 1);
  EXPECT_THAT(nobody.text, AllOf(HasSubstr("no Migration was made"), HasSubstr("forbidden")));
  const os::Output watching = godwit({"watch", "--as", "nobody", "--timeout", "60s"});
  EXPECT_EQ(watching.status, 1);
  EXPECT_THAT(watching.text, HasSubstr("forbidden"));
  EXPECT_THAT(godwit({"explain", only_pod(), "--as", "nobody"}).status, 2);
}

}  // namespace
}  // namespace godwit
