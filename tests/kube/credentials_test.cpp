// Credentials as the real server takes them, and their replacement while the client runs.
#include <gtest/gtest.h>

#include "control_plane.h"
#include "kube/base64.h"
#include "kube/json_path.h"
#include "kube/scratch.h"
#include "objects.h"

namespace godwit::kube {
namespace {

const Resource self_reviews{"authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", false};

// Whom the server takes us for, or why it does not.
std::string who_am_i(Client& client) {
  const json review = {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "SelfSubjectReview"}};
  const auto answer = client.create({self_reviews, "", "", ""}, review, soon());
  return answer ? text_at(*answer, "/status/userInfo/username") : "error: " + answer.error().message;
}

struct ServerCredentials : testing::Test {
  Scratch scratch;
  ControlPlane& plane = control_plane();
};

TEST_F(ServerCredentials, ATokenFileThatIsReplacedCountsForTheNextRequest) {
  ClusterAccess access = plane.access();
  access.token = {"", scratch.write("token", admin_token)};
  Client client(access);
  EXPECT_EQ(who_am_i(client), "admin");
  scratch.write("token", std::string(second_token) + "\n");
  EXPECT_EQ(who_am_i(client), "second");
  scratch.write("token", "expired");
  EXPECT_EQ(who_am_i(client), "error: create selfsubjectreviews: Unauthorized");
  scratch.write("token", admin_token);
  EXPECT_EQ(who_am_i(client), "admin");
}

TEST_F(ServerCredentials, APodsServiceAccountIsLetIn) {
  Client admin(plane.access());
  const Resource accounts{"", "v1", "serviceaccounts", "ServiceAccount"};
  ASSERT_TRUE(succeeded(admin.create({accounts, "default", "", ""}, {{"metadata", {{"name", "robot"}}}}, soon())));
  const auto issued = admin.create({accounts, "default", "robot", "token"},
                                   {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenRequest"}}, soon());
  ASSERT_TRUE(succeeded(issued));
  scratch.write("token", text_at(*issued, "/status/token"));
  scratch.write("ca.crt", plane.ca().certificate_pem);
  const Variable host("KUBERNETES_SERVICE_HOST", "127.0.0.1");
  const Variable port("KUBERNETES_SERVICE_PORT", std::to_string(ControlPlane::port));
  const auto access = in_cluster_access(scratch.path());
  ASSERT_TRUE(access.has_value()) << access.error().message;
  Client client(*access);
  EXPECT_EQ(who_am_i(client), "system:serviceaccount:default:robot");
}

TEST_F(ServerCredentials, AClientCertificateIsTakenFromFilesAndFromTheKubeconfig) {
  const auto pair = transfer::make_node_certificate(plane.ca(), {.dns = {"node-a"}});
  ASSERT_TRUE(pair.has_value());
  ClusterAccess access = plane.access();
  access.token = {};
  access.client_certificate.path = scratch.write("crt", pair->certificate_pem);
  access.client_key.path = scratch.write("key", pair->key_pem);
  Client from_files(access);
  EXPECT_EQ(who_am_i(from_files), "node-a");
  // The same connection must not go on with the old certificate.
  const auto other = transfer::make_node_certificate(plane.ca(), {.dns = {"node-b"}});
  scratch.write("key", other->key_pem);
  scratch.write("crt", other->certificate_pem);
  EXPECT_EQ(who_am_i(from_files), "node-b");

  const std::string config = scratch.write(
      "config", fmt::format("current-context: c\n"
                            "clusters: [{{name: c, cluster: {{server: 'https://127.0.0.1:{}', "
                            "certificate-authority-data: {}}}}}]\n"
                            "contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n"
                            "users: [{{name: u, user: {{client-certificate-data: {}, client-key-data: {}}}}}]\n",
                            ControlPlane::port, encode_base64(plane.ca().certificate_pem),
                            encode_base64(pair->certificate_pem), encode_base64(pair->key_pem)));
  const auto loaded = load_kubeconfig({config, ""});
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message;
  Client inline_client(*loaded);
  EXPECT_EQ(who_am_i(inline_client), "node-a");
}

TEST_F(ServerCredentials, APluginIsRunAgainWhenTheServerRefusesItsToken) {
  scratch.write("answer", "refused");
  scratch.write("plugin",
                "#!/bin/sh\necho '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\","
                "\"status\":{\"token\":\"'$(cat " +
                    scratch.path() + "/answer)'\"}}'\n",
                0700);
  ClusterAccess access = plane.access();
  access.token = {};
  access.exec = ExecPlugin{.api_version = "client.authentication.k8s.io/v1", .argv = {scratch.path() + "/plugin"}};
  Client client(access);
  EXPECT_EQ(who_am_i(client), "error: create selfsubjectreviews: Unauthorized");
  scratch.write("answer", second_token);
  std::this_thread::sleep_for(milliseconds(1100));  // it is not run more often than once a second
  EXPECT_EQ(who_am_i(client), "second");
}

TEST_F(ServerCredentials, ImpersonationIsAskedFor) {
  ClusterAccess access = plane.access();
  access.impersonate_user = "someone";
  Client client(access);
  EXPECT_EQ(who_am_i(client), "someone");
}

TEST_F(ServerCredentials, TheServersNameMayBeAnotherThanItsAddress) {
  ClusterAccess access = plane.access();
  access.tls_server_name = "kubernetes";
  Client client(access);
  EXPECT_EQ(who_am_i(client), "admin");
  access.tls_server_name = "elsewhere";
  Client wrong(access);
  EXPECT_TRUE(who_am_i(wrong).starts_with("error:")) << "the certificate does not say so";
}

// A cluster's CA is renewed: the server shows a certificate of the new one, and the file follows.
TEST_F(ServerCredentials, ACaFileThatIsReplacedCountsForTheNextConnection) {
  Client client(plane.access());
  ASSERT_EQ(who_am_i(client), "admin");
  const auto other = plane.change_ca();
  ASSERT_TRUE(other.has_value());
  plane.kill_server();
  scratch.write("old", plane.ca().certificate_pem);
  ClusterAccess stale_access = plane.access();
  stale_access.ca.path = scratch.path() + "/old";
  ASSERT_TRUE(os::write_file_atomic(plane.ca_path(), other->certificate_pem).has_value());
  ASSERT_TRUE(succeeded(plane.start_server()));
  EXPECT_EQ(who_am_i(client), "admin");
  Client stale(stale_access);
  const auto refused = stale.get_raw("/version", soon());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, ApiErrorKind::transport);
  EXPECT_TRUE(refused.error().message.contains("certificate")) << refused.error().message;
}

}  // namespace
}  // namespace godwit::kube
