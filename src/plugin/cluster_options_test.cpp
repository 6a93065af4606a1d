#include "plugin/cluster_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kube/scratch.h"

namespace godwit::plugin {
namespace {

using kube::resources::nodes;
using kube::resources::pods;
using testing::AllOf;
using testing::HasSubstr;

std::string refusal(const std::string& argument, const kube::Resource& resource = pods) {
  const auto name = name_of_argument(argument, resource);
  return name ? "accepted as " + *name : name.error().message;
}

TEST(NameOfArgument, TakesWhatKubectlTakes) {
  for (const char* argument : {"web-1", "pod/web-1", "pods/web-1", "po/web-1", "Pod/web-1"}) {
    EXPECT_EQ(name_of_argument(argument, pods).value_or("refused"), "web-1") << argument;
  }
  EXPECT_EQ(name_of_argument("node/n1", nodes).value_or("refused"), "n1");
  EXPECT_EQ(name_of_argument("no/n1", nodes).value_or("refused"), "n1");
}

TEST(NameOfArgument, SaysWhatToWriteInstead) {
  EXPECT_THAT(refusal("deployment/web"), AllOf(HasSubstr("deployment/web is no pod"), HasSubstr("kubectl get pods")));
  EXPECT_THAT(refusal("pod/web", nodes), HasSubstr("is no node"));
  EXPECT_THAT(refusal("pod/"), HasSubstr("write NAME or pod/NAME"));
  EXPECT_THAT(refusal("pod/a/b"), HasSubstr("write NAME or pod/NAME"));
  EXPECT_THAT(refusal(""), HasSubstr("the name of a pod is missing"));
}

constexpr const char* two_contexts = R"(
apiVersion: v1
kind: Config
current-context: shop
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
contexts:
- {name: shop, context: {cluster: c, user: u, namespace: shop}}
- {name: plain, context: {cluster: c, user: u}}
)";

TEST(FindAccess, ChoosesClusterAndNamespaceAsKubectlDoes) {
  const kube::Scratch scratch;
  const std::string path = scratch.write("config", two_contexts);
  EXPECT_EQ(find_access({.kubeconfig = {.path = path}})->namespace_name, "shop") << "the current context's";
  EXPECT_EQ(find_access({.kubeconfig = {.path = path, .context = "plain"}})->namespace_name, "default");
  EXPECT_EQ(find_access({.kubeconfig = {.path = path}, .namespace_name = "other"})->namespace_name, "other");
  const auto as = find_access({.kubeconfig = {.path = path}, .as = "jane", .as_groups = {"dev"}});
  EXPECT_EQ(as->impersonate_user, "jane");
  EXPECT_THAT(as->impersonate_groups, testing::ElementsAre("dev"));
  const kube::Variable variable("KUBECONFIG", path);
  EXPECT_EQ(find_access({})->namespace_name, "shop") << "by $KUBECONFIG";
}

TEST(FindAccess, SaysHowToChooseOne) {
  const kube::Scratch scratch;
  const auto missing = find_access({.kubeconfig = {.path = scratch.path() + "/none"}});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, AllOf(HasSubstr("/none"), HasSubstr("--kubeconfig")));
  const auto context = find_access({.kubeconfig = {.path = scratch.write("config", two_contexts), .context = "prod"}});
  ASSERT_FALSE(context);
  EXPECT_THAT(context.error().message, HasSubstr("no context \"prod\""));
}

TEST(InWords, SaysThatGodwitIsNotInstalled) {
  EXPECT_THAT(in_words(kube::decode_status(404, "404 page not found\n", "")), HasSubstr("install Godwit"));
  const char* gone = R"({"kind": "Status", "code": 404, "reason": "NotFound", "message": "pods \"x\" not found"})";
  EXPECT_EQ(in_words(kube::decode_status(404, gone, "")), "pods \"x\" not found");
}

}  // namespace
}  // namespace godwit::plugin
