#include "controller/certificate_signer.h"

#include <gmock/gmock.h>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* agents = "system:serviceaccount:godwit:godwit-agent";

json request() {
  return {{"spec",
           {{"signerName", "live.cast.ai/agent"},
            {"username", agents},
            {"usages", {"digital signature", "client auth", "server auth"}},
            {"extra", {{"authentication.kubernetes.io/node-name", {"node-1"}}}}}}};
}

void expect_refused(const json& asked, const char* why) {
  const auto node = requested_node(asked, agents);
  ASSERT_FALSE(node) << asked.dump(1);
  EXPECT_THAT(node.error().message, HasSubstr(why));
}

TEST(CertificateSigner, AnAgentGetsItsOwnNodesCertificate) {
  EXPECT_EQ(requested_node(request(), agents).value_or(""), "node-1");
}

TEST(CertificateSigner, NobodyElseGetsOne) {
  json asked = request();
  asked["spec"]["username"] = "system:serviceaccount:godwit:default";
  expect_refused(asked, "godwit:default is not");
  asked = request();
  asked["spec"]["signerName"] = "kubernetes.io/kubelet-serving";
  expect_refused(asked, "another signer");
  asked = request();
  asked["spec"]["usages"] = {"cert sign"};
  expect_refused(asked, "cert sign");
  // A token that is bound to no pod, as `kubectl create token` makes them.
  asked = request();
  asked["spec"].erase("extra");
  expect_refused(asked, "on which node");
  asked["spec"]["extra"] = {{"authentication.kubernetes.io/node-name", {"node-1", "node-2"}}};
  expect_refused(asked, "on which node");
}

TEST(CertificateSigner, WhatHasBeenAnsweredIsLeftAlone) {
  json asked = request();
  EXPECT_TRUE(is_open(asked));
  asked["status"] = {{"conditions", json::array({{{"type", "Approved"}}})}};
  EXPECT_TRUE(is_open(asked)) << "approved, and not signed yet";
  asked["status"]["certificate"] = "LS0t";
  EXPECT_FALSE(is_open(asked));
  asked["status"] = {{"conditions", json::array({{{"type", "Denied"}}})}};
  EXPECT_FALSE(is_open(asked));
}

}  // namespace
}  // namespace godwit::controller
