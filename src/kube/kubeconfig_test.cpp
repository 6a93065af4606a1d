#include <gtest/gtest.h>

#include "kube/cluster_access.h"
#include "kube/scratch.h"

namespace godwit::kube {
namespace {

constexpr const char* two_contexts = R"(
apiVersion: v1
kind: Config
current-context: first
clusters:
- name: inline
  cluster: {server: "https://10.0.0.1:6443/", certificate-authority-data: Q0EK, tls-server-name: kubernetes}
- name: files
  cluster: {server: "https://example:6443", certificate-authority: pki/ca.crt, proxy-url: "http://proxy:3128"}
users:
- name: certificate
  user: {client-certificate-data: Q0VSVAo=, client-key-data: S0VZCg==}
- name: token
  user: {token: stale, tokenFile: token, as: someone, as-groups: [one, two]}
contexts:
- name: first
  context: {cluster: inline, user: certificate}
- name: second
  context: {cluster: files, user: token, namespace: apps}
- name: nobody
  context: {cluster: files}
- name: broken
  context: {cluster: files, user: missing}
)";

struct Kubeconfig : testing::Test {
  Scratch scratch;
  std::string path = scratch.write("config", two_contexts);
  Result<ClusterAccess> load(const std::string& context = "") const { return load_kubeconfig({path, context}); }
};

TEST_F(Kubeconfig, CurrentContextWithEverythingInline) {
  const auto access = load();
  ASSERT_TRUE(access.has_value()) << access.error().message;
  EXPECT_EQ(access->server, "https://10.0.0.1:6443");
  EXPECT_EQ(access->tls_server_name, "kubernetes");
  EXPECT_EQ(access->ca.data, "CA\n");
  EXPECT_EQ(access->client_certificate.data, "CERT\n");
  EXPECT_EQ(access->client_key.data, "KEY\n");
  EXPECT_TRUE(access->verify);
  EXPECT_EQ(access->namespace_name, "default");
}

TEST_F(Kubeconfig, ChosenContextWithPathsRelativeToTheFile) {
  const auto access = load("second");
  ASSERT_TRUE(access.has_value()) << access.error().message;
  EXPECT_EQ(access->ca.path, scratch.path() + "/pki/ca.crt");
  EXPECT_EQ(access->token.path, scratch.path() + "/token");
  EXPECT_EQ(access->token.data, "") << "the file counts, the token beside it is a stale copy";
  EXPECT_EQ(access->proxy_url, "http://proxy:3128");
  EXPECT_EQ(access->impersonate_user, "someone");
  EXPECT_EQ(access->impersonate_groups, (std::vector<std::string>{"one", "two"}));
  EXPECT_EQ(access->namespace_name, "apps");
}

TEST_F(Kubeconfig, AContextWithoutUserIsAnonymous) {
  EXPECT_TRUE(load("nobody").has_value());
}

TEST_F(Kubeconfig, MistakesAreNamed) {
  EXPECT_TRUE(load("none").error().message.contains("no context \"none\"")) << load("none").error().message;
  EXPECT_TRUE(load("broken").error().message.contains("no user \"missing\"")) << load("broken").error().message;
  EXPECT_TRUE(load_kubeconfig({"/nowhere/config", ""}).error().message.contains("/nowhere/config"));
  const std::string none = scratch.write("none", "apiVersion: v1\nkind: Config\n");
  EXPECT_TRUE(load_kubeconfig({none, ""}).error().message.contains("no current-context"));
  const std::string bad = scratch.write("bad", "a: [1\n");
  EXPECT_TRUE(load_kubeconfig({bad, ""}).error().message.contains("no valid YAML")) << "and not an exception";
}

std::string with_user(const std::string& user) {
  return "current-context: c\n"
         "clusters: [{name: c, cluster: {server: 'https://x'}}]\n"
         "contexts: [{name: c, context: {cluster: c, user: u}}]\n"
         "users: [{name: u, user: " +
         user + "}]\n";
}

TEST_F(Kubeconfig, UsersThatCannotWorkAreRefusedWithTheReason) {
  const auto refusal = [&](const std::string& user) {
    const auto access = load_kubeconfig({scratch.write("user", with_user(user)), ""});
    return access ? "accepted" : access.error().message;
  };
  EXPECT_TRUE(refusal("{client-certificate: a}").contains("belong together"));
  EXPECT_TRUE(refusal("{client-key-data: '$$'}").contains("client-key-data: no base64"));
  EXPECT_TRUE(refusal("{auth-provider: {name: gcp}}").contains("use an exec plugin"));
  EXPECT_TRUE(refusal("{exec: {apiVersion: client.authentication.k8s.io/v1alpha1, command: x}}").contains("v1alpha1"));
  EXPECT_TRUE(refusal("{exec: {apiVersion: client.authentication.k8s.io/v1}}").contains("no command"));
  EXPECT_TRUE(refusal("{exec: {apiVersion: client.authentication.k8s.io/v1, command: x, interactiveMode: Always}}")
                  .contains("terminal"));
  EXPECT_EQ(refusal("{exec: {apiVersion: client.authentication.k8s.io/v1, command: x}}"), "accepted");
}

TEST_F(Kubeconfig, SeveralFilesAreMergedAndTheFirstWins) {
  const std::string other = scratch.write("other",
                                          "current-context: second\n"
                                          "clusters: [{name: files, cluster: {server: 'https://mine'}}]\n");
  const Variable list("KUBECONFIG", other + ":/nowhere:" + path);
  const auto access = load_kubeconfig({});
  ASSERT_TRUE(access.has_value()) << access.error().message;
  EXPECT_EQ(access->server, "https://mine");
  EXPECT_EQ(access->token.path, scratch.path() + "/token");
}

TEST(InCluster, TakesWhatThePodHas) {
  const Scratch scratch;
  scratch.write("token", "t");
  scratch.write("ca.crt", "c");
  scratch.write("namespace", "apps");
  const Variable host("KUBERNETES_SERVICE_HOST", "fd00::1");
  const Variable port("KUBERNETES_SERVICE_PORT", "443");
  const auto access = in_cluster_access(scratch.path());
  ASSERT_TRUE(access.has_value()) << access.error().message;
  EXPECT_EQ(access->server, "https://[fd00::1]:443");
  EXPECT_EQ(access->token.path, scratch.path() + "/token");
  EXPECT_EQ(access->namespace_name, "apps");
}

TEST(InCluster, SaysWhatIsMissing) {
  const Scratch scratch;
  ::unsetenv("KUBERNETES_SERVICE_HOST");
  EXPECT_TRUE(in_cluster_access(scratch.path()).error().message.contains("not in a pod"));
  const Variable host("KUBERNETES_SERVICE_HOST", "10.0.0.1");
  const Variable port("KUBERNETES_SERVICE_PORT", "443");
  EXPECT_TRUE(in_cluster_access(scratch.path()).error().message.contains("automountServiceAccountToken"));
}

}  // namespace
}  // namespace godwit::kube
