#include "kube/api_error.h"

#include <gtest/gtest.h>

#include "kube/base64.h"
#include "kube/json_path.h"
#include "kube/resource.h"

namespace godwit::kube {
namespace {

TEST(ApiError, AStatusObjectIsTakenApart) {
  const ApiError error = decode_status(409, R"({"kind":"Status","apiVersion":"v1","status":"Failure",
      "message":"pods \"x\" already exists","reason":"AlreadyExists","details":{"name":"x","kind":"pods"},"code":409})",
                                       "");
  EXPECT_TRUE(error.already_exists());
  EXPECT_FALSE(error.conflict()) << "the status alone would not tell";
  EXPECT_FALSE(error.temporary());
  EXPECT_EQ(error.message, "pods \"x\" already exists");
  EXPECT_EQ(error.details["name"], "x");
}

TEST(ApiError, RetryAfterComesFromTheHeaderElseFromTheStatus) {
  const char* body = R"({"kind":"Status","code":429,"reason":"TooManyRequests","details":{"retryAfterSeconds":7}})";
  EXPECT_EQ(decode_status(429, body, "2").retry_after, std::chrono::seconds(2));
  EXPECT_EQ(decode_status(429, body, "").retry_after, std::chrono::seconds(7));
  EXPECT_EQ(decode_status(429, body, "Wed, 21 Oct 2015 07:28:00 GMT").retry_after, std::chrono::seconds(7));
  EXPECT_EQ(decode_status(429, "busy", "").retry_after, std::nullopt);
  EXPECT_LE(decode_status(429, body, "999999").retry_after, std::chrono::minutes(5)) << "no server stops us for a day";
}

TEST(ApiError, WhatAProxyWroteIsShownInPart) {
  const ApiError error = decode_status(502, "<html>" + std::string(5000, 'x'), "");
  EXPECT_EQ(error.http_status, 502);
  EXPECT_TRUE(error.temporary());
  EXPECT_TRUE(error.message.starts_with("the server answered 502: <html>xxx"));
  EXPECT_LT(error.message.size(), 400U);
}

ApiResult<int> fails_locally() {
  const Result<int> failed = fail("no such file");
  GODWIT_ASSIGN(const int value, failed);
  return value;
}
Result<int> outside() {
  GODWIT_ASSIGN(const int value, fails_locally());
  return value;
}

TEST(ApiError, ConvertsFromAndToTheErrorsOfOtherRooms) {
  EXPECT_EQ(fails_locally().error().kind, ApiErrorKind::local);
  EXPECT_EQ(outside().error().message, "no such file");
}

TEST(JsonPath, ReadsWhatIsThereAndNeverThrows) {
  const json pod = json::parse(R"({"metadata":{"name":"p","namespace":"n","labels":{"a/b":"c"},"generation":3},
      "spec":{"containers":[{"name":"x"},{"name":"y"}],"hostNetwork":true,"nodeName":null}})");
  EXPECT_EQ(key_of(pod), "n/p");
  EXPECT_EQ(text_at(pod, "/spec/containers/1/name"), "y");
  EXPECT_EQ(text_at(pod, "/spec/containers/2/name"), "");
  EXPECT_EQ(text_at(pod, "/spec/containers/x/name"), "");
  EXPECT_EQ(text_at(pod, "/metadata/labels/a~1b"), "c");
  EXPECT_EQ(label_of(pod, "a/b"), "c");
  EXPECT_EQ(label_of(pod, "other"), "");
  EXPECT_EQ(annotation_of(pod, "any"), "");
  EXPECT_EQ(number_at(pod, "/metadata/generation"), 3);
  EXPECT_EQ(number_at(pod, "/metadata/name"), 0);
  EXPECT_TRUE(flag_at(pod, "/spec/hostNetwork"));
  EXPECT_EQ(value_at(pod, "/spec/nodeName"), nullptr);
  EXPECT_EQ(value_at(pod, "/spec/hostNetwork/deeper"), nullptr);
}

TEST(Resource, PathsAreThoseOfTheApi) {
  EXPECT_EQ(url_path({resources::pods, "", "", ""}), "/api/v1/pods");
  EXPECT_EQ(url_path({resources::pods, "n", "p", "eviction"}), "/api/v1/namespaces/n/pods/p/eviction");
  EXPECT_EQ(url_path({resources::nodes, "ignored", "x", "status"}), "/api/v1/nodes/x/status");
  EXPECT_EQ(url_path({resources::leases, "n", "a b/c", ""}),
            "/apis/coordination.k8s.io/v1/namespaces/n/leases/a%20b%2Fc");
  EXPECT_EQ(Query().add("a", "x=y,z in (1)").add("b", "").add("c", "1").text(), "?a=x%3Dy%2Cz%20in%20%281%29&c=1");
}

TEST(ApiErrors, OthersKnowWhetherToTryAgain) {
  EXPECT_EQ(Error(decode_status(503, "", "")).code, EAGAIN);
  EXPECT_EQ(Error(decode_status(404, "", "")).code, 0);
  EXPECT_EQ(Error(ApiError(ApiErrorKind::transport, "refused")).code, EAGAIN);
}

TEST(Base64, RoundTripsEveryLength) {
  std::string data;
  for (int i = 0; i < 70; ++i) {
    EXPECT_EQ(decode_base64(encode_base64(data)).value(), data);
    data += static_cast<char>(i * 37);
  }
  EXPECT_EQ(encode_base64("god"), "Z29k");
  EXPECT_EQ(encode_base64("godw"), "Z29kdw==");
  EXPECT_EQ(decode_base64("Z29k\n dw==\n").value(), "godw");
  EXPECT_FALSE(decode_base64("Z2$k").has_value());
}

}  // namespace
}  // namespace godwit::kube
