#include "kube/credentials.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "kube/scratch.h"
#include "kube/timestamp.h"

namespace godwit::kube {
namespace {

using std::chrono::seconds;

Deadline soon() {
  return Deadline::after(seconds(10));
}

std::string authorization(CredentialSource& source) {
  const auto credentials = source.current(soon());
  if (!credentials) return "error: " + credentials.error().message;
  return credentials->headers.empty() ? "" : credentials->headers[0];
}

TEST(CachedFile, AReplacedFileIsReadAgain) {
  const Scratch scratch;
  CachedFile file(scratch.write("f", "one"));
  EXPECT_EQ(file.read().value(), "one");
  scratch.write("f", "two");
  EXPECT_EQ(file.read().value(), "two");
}

// How kubelet replaces a projected volume: the files are links into a folder that is itself a link.
TEST(CachedFile, AFileReplacedThroughALinkedFolderIsReadAgain) {
  const Scratch scratch;
  for (const char* folder : {"old", "new"}) ASSERT_TRUE(os::make_directories(scratch.path() + "/" + folder));
  scratch.write("old/token", "one");
  scratch.write("new/token", "two");
  const std::string data = scratch.path() + "/..data";
  ASSERT_EQ(::symlink("old", data.c_str()), 0);
  const std::string path = scratch.path() + "/token";
  ASSERT_EQ(::symlink("..data/token", path.c_str()), 0);
  CachedFile file(path);
  EXPECT_EQ(file.read().value(), "one");
  ASSERT_EQ(::symlink("new", (data + "_tmp").c_str()), 0);
  ASSERT_EQ(::rename((data + "_tmp").c_str(), data.c_str()), 0);
  EXPECT_EQ(file.read().value(), "two");
}

TEST(CachedFile, WhileAFileIsMissingOrEmptyTheLastContentsCount) {
  const Scratch scratch;
  const std::string path = scratch.write("f", "one");
  CachedFile file(path);
  EXPECT_EQ(file.read().value(), "one");
  scratch.write("f", "");
  EXPECT_EQ(file.read().value(), "one");
  ::unlink(path.c_str());
  EXPECT_EQ(file.read().value(), "one");
  CachedFile never(path);
  EXPECT_FALSE(never.read().has_value());
}

TEST(Credentials, TheTokenIsThatOfTheFileNow) {
  const Scratch scratch;
  ClusterAccess access;
  access.token.path = scratch.write("token", "one\n");
  CredentialSource source(access);
  EXPECT_EQ(authorization(source), "Authorization: Bearer one");
  scratch.write("token", "two\n");
  EXPECT_EQ(authorization(source), "Authorization: Bearer two");
}

TEST(Credentials, NothingInlineCanBeRenewed) {
  ClusterAccess access;
  access.token.data = "t";
  EXPECT_FALSE(CredentialSource(access).renew());
  access.token = {"", "/somewhere"};
  EXPECT_TRUE(CredentialSource(access).renew());
}

// A plugin that counts its runs and answers as `status` says; $COUNT in it is the number of the run.
struct Plugin : testing::Test {
  Scratch scratch;
  ClusterAccess access;

  void make(const std::string& status, const std::string& before = "") {
    const std::string script = "#!/bin/sh\nCOUNT=$(($(cat " + scratch.path() + "/runs 2>/dev/null || echo 0) + 1))\n" +
                               "echo $COUNT >" + scratch.path() + "/runs\n" + before + "\n" +
                               "cat <<END\n{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": " +
                               "\"ExecCredential\", \"status\": " + status + "}\nEND\n";
    scratch.write("plugin", script, 0700);
    ExecPlugin plugin;
    plugin.api_version = "client.authentication.k8s.io/v1";
    plugin.argv = {"./plugin", "argument"};
    plugin.directory = scratch.path();
    plugin.environment = {"NAME=value"};
    access.exec = plugin;
    access.server = "https://x";
  }
};

TEST_F(Plugin, IsRunOnceWhileItsCredentialsLast) {
  make(R"({"token": "t$COUNT"})");
  CredentialSource source(access);
  EXPECT_EQ(authorization(source), "Authorization: Bearer t1");
  EXPECT_EQ(authorization(source), "Authorization: Bearer t1");
}

TEST_F(Plugin, IsRunAgainBeforeItsCredentialsExpire) {
  const std::string in_eleven_seconds = format_time(std::chrono::system_clock::now() + seconds(12));
  make(R"({"token": "t$COUNT", "expirationTimestamp": ")" + in_eleven_seconds + "\"}");
  CredentialSource source(access);
  EXPECT_EQ(authorization(source), "Authorization: Bearer t1");
  std::this_thread::sleep_for(seconds(2));
  EXPECT_EQ(authorization(source), "Authorization: Bearer t2") << "ten seconds before the end";
}

TEST_F(Plugin, IsRunAgainWhenTheServerRefusesButNotInALoop) {
  make(R"({"token": "t$COUNT"})");
  CredentialSource source(access);
  EXPECT_EQ(authorization(source), "Authorization: Bearer t1");
  source.renew();
  EXPECT_EQ(authorization(source), "Authorization: Bearer t1") << "it has just been run";
  std::this_thread::sleep_for(milliseconds(1100));
  source.renew();
  EXPECT_EQ(authorization(source), "Authorization: Bearer t2");
}

TEST_F(Plugin, GetsItsArgumentsEnvironmentAndTheCluster) {
  make(R"({"token": "$1-$NAME"})", R"(echo "$KUBERNETES_EXEC_INFO" >)" + scratch.path() + "/info");
  access.exec->provide_cluster_info = true;
  access.ca.data = "CA";
  CredentialSource source(access);
  EXPECT_EQ(authorization(source), "Authorization: Bearer argument-value");
  const json info = json::parse(os::read_file(scratch.path() + "/info").value());
  EXPECT_EQ(info["apiVersion"], "client.authentication.k8s.io/v1");
  EXPECT_EQ(info["spec"]["cluster"]["server"], "https://x");
  EXPECT_EQ(info["spec"]["cluster"]["certificate-authority-data"], "Q0E=");
  EXPECT_EQ(info["spec"]["interactive"], false);
}

TEST_F(Plugin, MayGiveACertificate) {
  make(R"({"clientCertificateData": "CERT", "clientKeyData": "KEY"})");
  CredentialSource source(access);
  const auto credentials = source.current(soon());
  ASSERT_TRUE(credentials.has_value());
  EXPECT_EQ(credentials->endpoint.certificate_pem, "CERT");
  EXPECT_EQ(credentials->endpoint.key_pem, "KEY");
}

TEST_F(Plugin, ItsFailuresAreNamed) {
  make("{}");
  CredentialSource empty(access);
  EXPECT_TRUE(authorization(empty).contains("neither a token nor a certificate")) << authorization(empty);
  make("{}", "exit 3");
  access.exec->install_hint = "install it";
  CredentialSource failing(access);
  EXPECT_TRUE(authorization(failing).contains("it ended with status 3 (install it)")) << authorization(failing);
  access.exec->argv = {"no-such-plugin"};
  CredentialSource missing(access);
  EXPECT_TRUE(authorization(missing).contains("start no-such-plugin")) << authorization(missing);
  make("{}", "sleep 30");
  CredentialSource slow(access);
  const auto began = Clock::now();
  EXPECT_FALSE(slow.current(Deadline::after(milliseconds(300))).has_value());
  EXPECT_LT(elapsed_ms(began), 5000);
}

TEST(ExecCredential, AnotherVersionThanAskedForIsRefused) {
  const auto decoded = decode_exec_credential(
      R"({"apiVersion":"client.authentication.k8s.io/v1beta1","kind":"ExecCredential","status":{"token":"t"}})",
      "client.authentication.k8s.io/v1");
  ASSERT_FALSE(decoded.has_value());
  EXPECT_TRUE(decoded.error().message.contains("v1beta1"));
}

}  // namespace
}  // namespace godwit::kube
