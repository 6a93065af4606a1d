// Godwit from its chart and its image, in a cluster that has nothing of it; and away again.
#include <gmock/gmock.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "cluster/layout.h"
#include "helm.h"
#include "space.h"

namespace godwit::install {
namespace {

using cluster::control_plane;
using cluster::eventually;
using cluster::patient;
using cluster::soon;
using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;
using testing::IsEmpty;

// /opt/godwit is the build that the lab shows to all nodes.
constexpr const char* on_nodes = "/opt/live/bin";
constexpr const char* image_in_node = "/opt/godwit-image.tar";

// Nodes of a lab have no systemd: containerd is started as the cluster does it.
constexpr const char* restart = R"(set -e
kill $CONTAINERD_PID
while kill -0 $CONTAINERD_PID 2>/dev/null; do sleep 0.1; done
containerd --config /etc/kubernetes/containerd.toml </dev/null >>/var/log/kubernetes/containerd.log 2>&1 &
echo $! >/run/kubernetes/containerd.pid)";

class InstallTest : public cluster::SpaceTest {
 protected:
  void SetUp() override;
  void TearDown() override;
  void helm(const std::vector<std::string>& words) const;
  // What of a node an installation may touch, with its contents.
  [[nodiscard]] std::string traces(int node) const;
  void start_redis() const;
  [[nodiscard]] json migrate(const std::string& pod) const;
  [[nodiscard]] json redis() const;
  std::string on_redis(const std::vector<std::string>& words) const;
  [[nodiscard]] std::string everywhere(const std::vector<std::string>& arguments) const;

  std::unique_ptr<cluster::Cluster> own_;
  std::string image_;
};

void InstallTest::SetUp() {
  SKIP_WITHOUT_CLUSTER_PARTS();
  if (helm_program().empty()) GTEST_SKIP() << "no cluster can be made: there is no Helm: `make helm` builds it";
  image_ = testing::TempDir() + fmt::format("godwit-image-{}.tar", ::getpid());
  const auto made = os::run_checked({.argv = {GODWIT_SOURCE "/tools/godwit-image.sh", image_, GODWIT_BUILD}},
                                    Deadline::after(seconds(120)));
  ASSERT_TRUE(made) << made.error().message;
  auto started = cluster::Cluster::start(
      {.nodes = 3,
       .live_runtime = "",
       .binds = {{.source = image_, .target = image_in_node, .read_only = true},
                 {.source = lab::built("helm"), .target = "/opt/helm", .read_only = true},
                 {.source = GODWIT_SOURCE "/deploy", .target = "/opt/deploy", .read_only = true}}});
  ASSERT_TRUE(started) << started.error().message;
  own_ = std::make_unique<cluster::Cluster>(std::move(*started));
  for (int i = 1; i <= own_->node_count(); ++i) {
    const lab::Node& node = own_->place(i);
    // As a registry would have it; nodes of a lab have none, and no default route, by which Services are reached.
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"ctr", "--namespace", "k8s.io", "images", "import", image_in_node},
          {"ip", "route", "replace", cluster::service_range, "dev", "br0"}}) {
      const auto done = node.exec_checked(words, patient());
      ASSERT_TRUE(done) << done.error().message;
    }
  }
  open_space(*own_);
}

void InstallTest::TearDown() {
  if (own_ && HasFailure()) {
    for (const char* what : {"daemonset/godwit-agent", "deployment/godwit-controller", "job/godwit-withdrawal"}) {
      fmt::print("--- {}\n{}\n", what,
                 try_kubectl({"logs", "-n", "godwit", what, "--all-pods", "--prefix", "--tail=30"}).value_or("(none)"));
    }
    fmt::print("{}\n", everywhere({"get", "pods,migrations,csr", "-A", "-o", "wide"}));
  }
  if (own_) {
    SpaceTest::TearDown();
    EXPECT_TRUE(own_->stop());
  }
  if (!image_.empty()) ::unlink(image_.c_str());
}

void InstallTest::helm(const std::vector<std::string>& words) const {
  std::vector<std::string> argv = {"/opt/helm/helm", "--kubeconfig", cluster::admin_config, "--namespace", "godwit"};
  argv.insert(argv.end(), words.begin(), words.end());
  const auto said = cluster().place(control_plane).exec_checked(argv, Deadline::after(seconds(300)));
  ASSERT_TRUE(said) << said.error().message;
}

std::string InstallTest::everywhere(const std::vector<std::string>& arguments) const {
  return cluster().kubectl(arguments, soon()).value_or("(no answer)");
}

std::string InstallTest::traces(int node) const {
  constexpr const char* script = R"({
find /etc/kubernetes /etc/cni /etc/containerd /usr/lib/cni /opt/cni /opt/live -type f -exec sha256sum {} + 2>/dev/null
find / -xdev -iname '*godwit*' ! -path '/proc/*' ! -path '/opt/godwit*' ! -path '/var/log/*' 2>/dev/null
find /run /etc/cni /etc/kubernetes -maxdepth 2 -iname '*godwit*' 2>/dev/null
find /sys/fs/cgroup -maxdepth 2 -iname '*godwit*'
ls /opt
} | sort -u)";
  const auto text = cluster().place(node).exec({"sh", "-c", script}, patient());
  EXPECT_TRUE(text) << text.error().message;
  return text ? text->text : "";
}

void InstallTest::start_redis() const {
  apply(R"(apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec:
      runtimeClassName: live
      terminationGracePeriodSeconds: 1
      containers:
      - name: redis
        image: godwit.test/redis:1
        imagePullPolicy: Never
        readinessProbe: {tcpSocket: {port: 6379}, periodSeconds: 1}
)");
  kubectl({"wait", "--for=condition=Available", "deployment/redis", "--timeout=80s"});
}

json InstallTest::redis() const {
  const json pods = get({"pods", "-l", "app=redis"});
  EXPECT_EQ(pods["items"].size(), 1U) << kubectl({"get", "pods", "-o", "wide"});
  return pods["items"].empty() ? json::object() : pods["items"][0];
}

std::string InstallTest::on_redis(const std::vector<std::string>& words) const {
  std::vector<std::string> arguments = {"exec", redis()["metadata"].value("name", ""), "--", "redis-cli"};
  arguments.insert(arguments.end(), words.begin(), words.end());
  return kubectl(arguments);
}

json InstallTest::migrate(const std::string& pod) const {
  apply_migration(pod, {{"podName", pod}});
  return finished_migration(pod);
}

constexpr const char* node_template = R"(apiVersion: live.cast.ai/v1
kind: NodeTemplate
metadata: {name: all}
spec:
  nodeSelector: {matchExpressions: [{key: kubernetes.io/hostname, operator: Exists}]}
  liveMigration: {enabled: true}
)";
constexpr const char* stateful_set = R"(apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      runtimeClassName: live
      terminationGracePeriodSeconds: 1
      containers:
      - {name: redis, image: "godwit.test/redis:1", imagePullPolicy: Never}
)";
// Made by somebody who is no agent. The request is a good one, for a key that nobody has kept.
constexpr const char* foreign_request = R"(apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {{name: foreign}}
spec:
  signerName: live.cast.ai/agent
  usages: [digital signature, client auth]
  request: {}
)";

TEST_F(InstallTest, FromNothingToAMigrationAndBackToNothing) {
  std::map<int, std::string> before;
  for (int i = 1; i <= cluster().node_count(); ++i) before[i] = traces(i);
  const std::string values = "/tmp/values.json";
  ASSERT_TRUE(os::write_file_atomic(cluster().place(control_plane).root_path() + values,
                                    json{{"image", {{"pullPolicy", "Never"}}},
                                         {"hostDirectory", on_nodes},
                                         {"containerd", {{"restart", restart}}},
                                         {"crds", {{"keep", false}}}}
                                        .dump()));
  helm({"install", "godwit", "/opt/deploy/helm/godwit", "--create-namespace", "--values", values, "--wait", "--timeout",
        "180s"});
  ASSERT_FALSE(HasFailure());
  for (int i = 1; i <= cluster().node_count(); ++i) EXPECT_THAT(traces(i), HasSubstr("00-godwit.conflist"));

  ASSERT_TRUE(cluster().apply(node_template, patient()));
  EXPECT_TRUE(eventually(patient(), [&] {
    const auto nodes = json::parse(
        everywhere({"get", "nodes", "-l", "live.cast.ai/migration-enabled=true", "-o", "json"}), nullptr, false);
    return nodes.is_object() && nodes["items"].size() == 3;
  })) << everywhere({"get", "nodetemplates", "-o", "yaml"});
  start_redis();
  on_redis({"set", "key", "value"});
  const json source = redis();
  const std::string name = source["metadata"].value("name", "");
  const json moved = migrate(name);
  ASSERT_EQ(moved["status"].value("state", ""), "Completed") << moved.dump(1);
  const json arrived = redis();
  EXPECT_EQ(arrived["metadata"].value("name", ""), name + "-clone-1");
  EXPECT_EQ(arrived["status"]["podIP"], source["status"]["podIP"]);
  EXPECT_EQ(on_redis({"get", "key"}), "value\n");

  // What this needs besides: the API server asks the controller, which has the rights that it needs for that.
  apply(stateful_set);
  kubectl({"wait", "--for=jsonpath={.status.readyReplicas}=1", "statefulset/db", "--timeout=80s"});
  const json named = migrate("db-0");
  EXPECT_EQ(named["status"].value("state", ""), "Completed") << named.dump(1);
  kubectl({"delete", "statefulset", "db", "--timeout=80s"});
  kubectl({"wait", "--for=delete", "pod", "-l", "app=db", "--timeout=80s"});

  // Only agents are given certificates, each its own node's.
  const auto request = cluster()
                           .place(control_plane)
                           .exec_checked({"sh", "-c",
                                          "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "
                                          "/dev/null -subj /CN=node-1 2>/dev/null | base64 -w0"},
                                         soon());
  ASSERT_TRUE(request) << request.error().message;
  ASSERT_TRUE(cluster().apply(fmt::format(foreign_request, *request), patient()));
  EXPECT_TRUE(eventually(patient(), [&] {
    return everywhere({"get", "csr", "foreign", "-o", "jsonpath={.status.conditions[*].type}"}) == "Denied";
  })) << everywhere({"get", "csr", "foreign", "-o", "yaml"});
  ASSERT_TRUE(cluster().kubectl({"delete", "csr", "foreign"}, soon()));

  helm({"uninstall", "godwit", "--wait", "--timeout", "240s"});
  ASSERT_FALSE(HasFailure());
  EXPECT_THAT(everywhere({"get", "nodes,pods", "-A", "-l", "live.cast.ai/migration-enabled", "-o", "name"}), IsEmpty());
  EXPECT_TRUE(eventually(patient(), [&] {
    return everywhere({"get", "all,secrets,roles,rolebindings,leases,pdb", "-n", "godwit", "-o", "name"}).empty();
  })) << everywhere({"get", "all,secrets,roles,rolebindings,leases,pdb", "-n", "godwit"});
  const std::string global =
      everywhere({"get", "crd,csr,clusterroles,clusterrolebindings,runtimeclasses", "-o", "name"});
  EXPECT_THAT(global, Not(HasSubstr("godwit")));
  EXPECT_THAT(global, Not(HasSubstr("live")));
  const json after = redis();
  EXPECT_EQ(after["metadata"]["uid"], arrived["metadata"]["uid"]);
  EXPECT_EQ(after["status"]["containerStatuses"][0].value("restartCount", -1), 0);
  EXPECT_EQ(on_redis({"get", "key"}), "value\n") << "it runs on, and can be reached";
  const std::string home = after["spec"].value("nodeName", "");
  for (int i = 1; i <= cluster().node_count(); ++i) {
    const std::string left = traces(i);
    if (cluster().place(i).name() != home) EXPECT_EQ(left, before[i]) << "node " << i;
    if (cluster().place(i).name() == home) EXPECT_THAT(left, HasSubstr("/opt/live/bin/godwit-runc")) << "for its shim";
  }
  kubectl({"delete", "deployment", "redis", "--timeout=80s"});
  kubectl({"wait", "--for=delete", "pod", "-l", "app=redis", "--timeout=80s"});
  for (int i = 1; i <= cluster().node_count(); ++i) {
    EXPECT_TRUE(eventually(patient(), [&] { return traces(i) == before[i]; })) << traces(i) << "\nand was\n"
                                                                               << before[i];
  }
}

}  // namespace
}  // namespace godwit::install
