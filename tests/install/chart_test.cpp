// The chart, by the real Helm.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "api/names.h"
#include "helm.h"
#include "kube/json_path.h"
#include "kube/yaml.h"
#include "os/file.h"

namespace godwit::install {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

class ChartTest : public testing::Test {
 protected:
  void SetUp() override {
    if (helm_program().empty()) GTEST_SKIP() << "there is no Helm: `make helm` builds it";
    directory_ = std::filesystem::temp_directory_path() / "godwit-chart-XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
  }
  void TearDown() override {
    if (!directory_.empty()) EXPECT_TRUE(os::remove_tree(directory_));
  }

  [[nodiscard]] Result<std::string> helm(std::vector<std::string> words) const {
    words.insert(words.begin(), helm_program());
    return os::run_checked({.argv = words, .environment = {"HOME=" + directory_}}, helm_time());
  }
  // Every object that an installation with these values has.
  [[nodiscard]] std::vector<json> objects(const std::vector<std::string>& values) const {
    std::vector<std::string> words = {"template",  "godwit",         chart(), "--namespace",
                                      "somewhere", "--kube-version", "1.35.0"};
    for (const std::string& value : values) words.insert(words.end(), {"--set", value});
    const auto text = helm(words);
    EXPECT_TRUE(text) << text.error().message;
    // Messages to people come on the same stream, before the first object.
    const auto parsed = kube::parse_yaml(text ? text->substr(text->find("---\n")) : "");
    EXPECT_TRUE(parsed) << parsed.error().message;
    return parsed.value_or(std::vector<json>{});
  }
  [[nodiscard]] json find(const std::vector<json>& all, const std::string& kind, const std::string& name) const {
    for (const json& object : all) {
      if (object.value("kind", "") == kind && kube::name_of(object) == name) return object;
    }
    return {};
  }

  std::string directory_;
};

TEST_F(ChartTest, LintFindsNothing) {
  const auto said = helm({"lint", "--strict", chart()});
  EXPECT_TRUE(said) << said.error().message;
}

TEST_F(ChartTest, ThePlainManifestsAreThoseOfTheChart) {
  const auto rendered = os::run_checked({.argv = {GODWIT_SOURCE "/tools/manifests.sh", directory_}}, helm_time());
  ASSERT_TRUE(rendered) << rendered.error().message;
  for (const std::string name : {"godwit.yaml", "godwit-uninstall.yaml"}) {
    const auto now = os::read_file(directory_ + "/" + name);
    const auto kept = os::read_file(GODWIT_SOURCE "/deploy/" + name);
    ASSERT_TRUE(now && kept);
    EXPECT_TRUE(*now == *kept) << "deploy/" << name << " is not that of the chart: run tools/manifests.sh";
    EXPECT_TRUE(kube::parse_yaml(*kept));
  }
}

TEST_F(ChartTest, TheNamesAreThoseThatTheProgramsKnow) {
  const std::vector<json> all = objects({});
  const json agents = find(all, "DaemonSet", api::installation::agent);
  ASSERT_FALSE(agents.is_null());
  EXPECT_EQ(kube::namespace_of(agents), "somewhere");
  EXPECT_EQ(agents["spec"]["template"]["spec"]["serviceAccountName"], api::installation::agent);
  EXPECT_EQ(agents["spec"]["template"]["spec"]["containers"][0]["args"][0], "run-node")
      << "which the uninstallation changes";
  ASSERT_FALSE(find(all, "Deployment", api::installation::controller).is_null());
  for (const char* name : {"migrations.live.cast.ai", "nodetemplates.live.cast.ai"}) {
    EXPECT_FALSE(find(all, "CustomResourceDefinition", name).is_null()) << name;
  }
  const json signer = find(all, "ClusterRole", api::installation::controller);
  EXPECT_THAT(signer["rules"].dump(), HasSubstr(api::installation::signer));
}

TEST_F(ChartTest, NobodyMayDoEverything) {
  const std::vector<json> all = objects({});
  size_t rules = 0;
  for (const json& object : all) {
    const std::string kind = object.value("kind", "");
    if (kind != "Role" && kind != "ClusterRole") continue;
    for (const json& rule : object["rules"]) {
      ++rules;
      for (const char* part : {"verbs", "resources", "apiGroups"}) {
        EXPECT_THAT(rule[part], testing::Not(Contains("*"))) << kube::name_of(object) << rule.dump();
      }
      const bool secret = rule["resources"].dump().find("secrets") != std::string::npos;
      // The only Secret that anyone may read is Godwit's own.
      if (secret && rule["verbs"] != json{"create"}) {
        EXPECT_EQ(kind, "Role");
        EXPECT_EQ(rule["resourceNames"], json{api::installation::authority_secret});
      }
    }
  }
  EXPECT_GT(rules, 20U);
  // A node's agent has a token on that node: it changes nothing in the cluster.
  const json agent = find(all, "ClusterRole", api::installation::agent);
  ASSERT_EQ(agent["rules"].size(), 1U);
  EXPECT_EQ(agent["rules"][0]["verbs"], (json{"create", "get"}));
}

TEST_F(ChartTest, ValuesReachThePrograms) {
  const std::vector<json> all = objects(
      {"containerd.restart=service containerd restart", "cni.programs=/opt/cni", "agent.arguments={--sessions-max=4}",
       "controller.replicas=3", "controller.hostNetwork=true", "controller.admissionPort=8443",
       "imagePullSecrets[0].name=registry", "runtimeClass.create=false", "crds.keep=false"});
  const json agents = find(all, "DaemonSet", api::installation::agent)["spec"]["template"]["spec"];
  const json arguments = agents["containers"][0]["args"];
  for (const char* argument : {"--containerd-restart=service containerd restart", "--cni-programs=/opt/cni",
                               "--agent-argument=--sessions-max=4"}) {
    EXPECT_THAT(arguments, Contains(argument));
  }
  EXPECT_EQ(agents["imagePullSecrets"], json::array({{{"name", "registry"}}}));
  const json controller = find(all, "Deployment", api::installation::controller)["spec"];
  EXPECT_EQ(controller["replicas"], 3);
  EXPECT_EQ(controller["template"]["spec"]["hostNetwork"], true);
  EXPECT_THAT(controller["template"]["spec"]["containers"][0]["args"], Contains("--admission-port=8443"));
  EXPECT_TRUE(find(all, "RuntimeClass", "live").is_null());
  const auto kept = [&](const std::vector<json>& objects) {
    return find(objects, "CustomResourceDefinition", "migrations.live.cast.ai")["metadata"]
        .value("annotations", json::object())
        .value("helm.sh/resource-policy", "");
  };
  EXPECT_EQ(kept(all), "");
  EXPECT_EQ(kept(objects({})), "keep");
}

}  // namespace
}  // namespace godwit::install
