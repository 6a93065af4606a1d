#include "controller/admission_server.h"

#include <gtest/gtest.h>

#include "kube/transport.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

TEST(AdmissionServer, HasAnAddressAndAnAuthorityOfItsOwn) {
  const auto one = AdmissionServer::start("127.0.0.1", 0, [](const json&) { return json::object(); });
  const auto two = AdmissionServer::start("127.0.0.1", 0, [](const json&) { return json::object(); });
  ASSERT_TRUE(one && two);
  EXPECT_TRUE((*one)->url().starts_with("https://127.0.0.1:")) << (*one)->url();
  EXPECT_NE((*one)->url(), (*two)->url());
  EXPECT_NE((*one)->ca_pem(), (*two)->ca_pem());
}

// Asked as an API server asks: over TLS, by the authority that was handed over.
class Asked : public testing::Test {
 protected:
  void SetUp() override {
    auto started = AdmissionServer::start("127.0.0.1", 0, [](const json& request) {
      return json{{"allowed", request["object"]["metadata"]["name"] == "db-0"}};
    });
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }
  kube::ApiResult<kube::HttpResponse> post(const std::string& body, const std::string& ca) {
    const std::string url = server->url();
    const size_t path = url.rfind('/');
    kube::Transport transport({.server = url.substr(0, path), .ca = {.data = ca, .path = ""}, .source = "the test"});
    return transport.send({.method = "POST", .path = url.substr(path), .headers = {}, .body = body},
                          {.deadline = Deadline::after(std::chrono::seconds(10))});
  }

  std::unique_ptr<AdmissionServer> server;
};

TEST_F(Asked, AnswersWithTheUidOfTheRequest) {
  for (const char* name : {"db-0", "db-1"}) {
    const json review = {{"request", {{"uid", "u-7"}, {"object", {{"metadata", {{"name", name}}}}}}}};
    const auto answer = post(review.dump(), server->ca_pem());
    ASSERT_TRUE(answer) << answer.error().message;
    const json response = json::parse(answer->body)["response"];
    EXPECT_EQ(response["uid"], "u-7");
    EXPECT_EQ(response["allowed"], std::string(name) == "db-0");
  }
}

TEST_F(Asked, WhatIsNoReviewIsRefusedAndNothingEnds) {
  const auto refused = post("hello", server->ca_pem());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().http_status, 400);
  EXPECT_TRUE(post(R"({"request": {"object": {"metadata": {"name": "x"}}}})", server->ca_pem()));
}

TEST_F(Asked, IsNotBelievedByAnotherAuthority) {
  const auto other = AdmissionServer::start("127.0.0.1", 0, [](const json&) { return json::object(); });
  ASSERT_TRUE(other);
  EXPECT_FALSE(post("{}", (*other)->ca_pem()));
}

TEST(AdmissionServer, SaysWhyItCannotListen) {
  const auto server = AdmissionServer::start("192.0.2.1", 0, [](const json&) { return json::object(); });
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find("192.0.2.1"), std::string::npos);
}

}  // namespace
}  // namespace godwit::controller
