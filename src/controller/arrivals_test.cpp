#include "controller/arrivals.h"

#include <gmock/gmock.h>

#include "kube/base64.h"

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string session = "0123456789abcdef0123456789abcdef";

json made_by_statefulset() {
  return json::parse(R"({
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "db-0", "namespace": "shop",
                 "labels": {"app": "db", "statefulset.kubernetes.io/pod-name": "db-0"}},
    "spec": {"hostname": "db-0",
             "initContainers": [{"name": "prepare", "image": "a"}, {"name": "proxy", "image": "b", "restartPolicy": "Always"}],
             "containers": [{"name": "db", "image": "c", "startupProbe": {"exec": {"command": ["true"]}},
                             "lifecycle": {"postStart": {"exec": {"command": ["true"]}}}}]}})");
}

Arrival arrival(const json& annotations = json::object()) {
  return {.node = "node-2",
          .session = session,
          .metadata = {{"labels", {{"app", "other"}, {"tier", "data"}}}, {"annotations", annotations}}};
}

TEST(AsArrival, IsBoundToTheDestinationAndNamesTheSession) {
  const json pod = as_arrival(made_by_statefulset(), arrival());
  EXPECT_EQ(pod["spec"]["nodeName"], "node-2");
  EXPECT_EQ(pod["metadata"]["annotations"]["cast.ai/restore"], session);
  EXPECT_EQ(pod["metadata"]["name"], "db-0");
}

TEST(AsArrival, WhatHasRunDoesNotRunAgain) {
  const json pod = as_arrival(made_by_statefulset(), arrival());
  ASSERT_EQ(pod["spec"]["initContainers"].size(), 1U);
  EXPECT_EQ(pod["spec"]["initContainers"][0]["name"], "proxy") << "a sidecar is a container that moves";
  EXPECT_FALSE(pod["spec"]["containers"][0].contains("startupProbe"));
  EXPECT_FALSE(pod["spec"]["containers"][0].contains("lifecycle"));
}

TEST(AsArrival, HasTheVeryImageThatRuns) {
  Arrival moving = arrival();
  EXPECT_EQ(as_arrival(made_by_statefulset(), moving)["spec"]["containers"][0]["image"], "c");
  moving.running = {
      {"status",
       {{"containerStatuses", json::array({json{{"name", "db"}, {"imageID", "docker.io/library/c@sha256:00"}}})}}}};
  EXPECT_EQ(as_arrival(made_by_statefulset(), moving)["spec"]["containers"][0]["image"],
            "docker.io/library/c@sha256:00");
}

TEST(AsArrival, TheAnnotationsOfThePodThatMovesCount) {
  const json pod = as_arrival(made_by_statefulset(), arrival({{"cast.ai/restore-run-startup-probe", "db"}}));
  EXPECT_TRUE(pod["spec"]["containers"][0].contains("startupProbe"));
}

TEST(AsArrival, LabelsThatSomebodyHasSetStayAndTheTemplatesCountMore) {
  const json pod = as_arrival(made_by_statefulset(), arrival());
  EXPECT_EQ(pod["metadata"]["labels"]["tier"], "data");
  EXPECT_EQ(pod["metadata"]["labels"]["app"], "db");
}

TEST(AdmissionOf, IsAPatchThatMakesTheArrival) {
  const json request = {{"namespace", "shop"}, {"object", made_by_statefulset()}};
  const Arrival expected = arrival();
  const json response = admission_of(request, &expected);
  ASSERT_TRUE(response["allowed"].get<bool>());
  EXPECT_EQ(response["patchType"], "JSONPatch");
  const json patch = json::parse(kube::decode_base64(response["patch"].get<std::string>()).value());
  EXPECT_EQ(made_by_statefulset().patch(patch), as_arrival(made_by_statefulset(), expected));
}

TEST(AdmissionOf, OneThatIsNotExpectedIsNotMadeNow) {
  const json response = admission_of({{"namespace", "shop"}, {"object", made_by_statefulset()}}, nullptr);
  EXPECT_FALSE(response["allowed"].get<bool>());
  EXPECT_THAT(response["status"]["message"].get<std::string>(), HasSubstr("db-0"));
}

}  // namespace
}  // namespace godwit::controller
