// `kubectl godwit bundle`: what is in it, and what must not be.
#include <gmock/gmock.h>

#include <filesystem>

#include "os/file.h"
#include "plugin_cluster.h"

namespace godwit {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

// Files of the unpacked bundle by their path in it.
std::map<std::string, std::string> unpack(const std::string& archive, const std::string& folder) {
  std::map<std::string, std::string> files;
  EXPECT_TRUE(os::make_directories(folder));
  const auto done = os::run_checked({.argv = {"tar", "-xzf", archive, "-C", folder, "--strip-components=1"}}, soon());
  EXPECT_TRUE(done) << done.error().message;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    files[std::filesystem::relative(entry.path(), folder).string()] = os::read_file(entry.path().string()).value_or("");
  }
  return files;
}

json items_of(const std::string& text) {
  const json list = json::parse(text, nullptr, false);
  EXPECT_TRUE(list.is_object()) << text;
  return list.value("items", json::array());
}

class BundleTest : public PluginTest {
 protected:
  // "s3cret" wherever a pod may have a password; it also says it, and has a file with it.
  void start_pod_with_secrets() const {
    apply(R"(
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {password: s3cret}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {url: "redis://:s3cret@db"}
---
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {example.org/token: s3cret}}
spec:
  runtimeClassName: live
  terminationGracePeriodSeconds: 0
  containers:
  - name: web
    image: godwit.test/redis:1
    imagePullPolicy: Never
    command: [sh, -c, "echo s3cret; exec redis-server --requirepass s3cret"]
    env:
    - {name: PASSWORD, value: s3cret}
    - {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: password}}}
    readinessProbe: {exec: {command: [redis-cli, -a, s3cret, ping]}, periodSeconds: 1}
    volumeMounts: [{name: keys, mountPath: /keys}, {name: settings, mountPath: /settings}]
  volumes:
  - {name: keys, secret: {secretName: keys}}
  - {name: settings, configMap: {name: settings}}
)");
    kubectl({"wait", "--for=condition=Ready", "pod/web", "--timeout=60s"});
  }
  // A pod with the labels that Godwit's installation gives its own; only its log counts here.
  void start_own_pod() const {
    apply(R"({"apiVersion": "v1", "kind": "Pod",
              "metadata": {"name": "agent-x", "labels": {"app.kubernetes.io/name": "godwit",
                                                         "app.kubernetes.io/component": "agent"}},
              "spec": {"terminationGracePeriodSeconds": 0,
                       "containers": [{"name": "agent", "image": "godwit.test/tiny:1", "imagePullPolicy": "Never",
                                       "command": ["sh", "-c", "echo hello from the agent; exec sleep 1000"]}]}})");
    kubectl({"wait", "--for=condition=Ready", "pod/agent-x", "--timeout=60s"});
  }
};

TEST_F(BundleTest, HasWhatABugReportNeedsAndNothingSecret) {
  start_pod_with_secrets();
  start_own_pod();
  const json migration = migrate("web", "node-9");  // applied by kubectl: with the annotation last-applied
  EXPECT_EQ(migration["status"].value("state", ""), "Failed");
  EXPECT_TRUE(eventually(soon(), [&] { return godwit({"bundle", "-o", "early.tgz"}).status == 0; }));

  const os::Output output = godwit({"bundle", "-o", "report.tar.gz"});
  EXPECT_EQ(output.status, 0) << output.text;
  fmt::print("{}", output.text);
  const auto files = unpack(folder_ + "/report.tar.gz", folder_ + "/unpacked");
  for (const auto& [name, text] : files) {
    EXPECT_THAT(text, Not(HasSubstr("s3cret"))) << name;
    EXPECT_THAT(output.text, HasSubstr(name)) << "what is in it is told";
  }
  EXPECT_EQ(items_of(files.at("migrations.json"))[0]["metadata"]["name"], migration["metadata"]["name"]);
  EXPECT_THAT(files.at("events.json"), HasSubstr("MigrationFailed"));
  EXPECT_EQ(items_of(files.at("nodes.json")).size(), 3U);
  EXPECT_EQ(items_of(files.at("node-templates.json"))[0]["metadata"]["name"], "all");
  EXPECT_EQ(items_of(files.at("pods.json"))[0]["metadata"]["name"], "web");
  EXPECT_THAT(files.at("versions.json"), AllOf(HasSubstr("kubectl-godwit"), HasSubstr("gitVersion")));
  const std::string log = "logs/" + space_ + "/agent-x/agent.log";
  ASSERT_TRUE(files.contains(log)) << output.text;
  EXPECT_THAT(files.at(log), HasSubstr("hello from the agent"));

  const os::Output again = godwit({"bundle", "-o", "report.tar.gz"});
  EXPECT_EQ(again.status, 1) << "it replaces no file";
  EXPECT_THAT(again.text, HasSubstr("is there already"));
}

TEST_F(BundleTest, WhatMayNotBeReadIsLeftOutAndNamed) {
  start_redis();
  const std::string user = make_user();
  migrate(only_pod(), "node-9");
  EXPECT_TRUE(eventually(soon(), [&] { return godwit({"nodes", "--as", user}).status == 0; }));
  const os::Output output = godwit({"bundle", "-o", "report.tar.gz", "--as", user});
  EXPECT_EQ(output.status, 0) << output.text;
  const auto files = unpack(folder_ + "/report.tar.gz", folder_ + "/unpacked");
  EXPECT_EQ(items_of(files.at("migrations.json")).size(), 1U);
  EXPECT_EQ(items_of(files.at("pods.json")).size(), 1U);
  EXPECT_THAT(files.at("missing.txt"),
              AllOf(HasSubstr("nodetemplates: "), HasSubstr("events"), HasSubstr("forbidden")));
  EXPECT_FALSE(files.contains("events.json"));
}

}  // namespace
}  // namespace godwit
