// The rows of the names that pods have after a migration. Those of StatefulSets, which keep theirs: stateful_test.cpp.
#include <gmock/gmock.h>

#include "rows.h"

namespace godwit {
namespace {

using testing::ElementsAre;
using testing::EndsWith;

using NamesTest = RowTest;

TEST_F(NamesTest, ABarePodIsCalledCloneAndANumber) {
  start_pod("cache");
  Clients clients(node(0), address_of("cache"), 6379, "bare");
  for (const std::string name : {"cache", "cache-clone-1", "cache-clone-2"}) {
    const json status = migrate(name)["status"];
    ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  }
  EXPECT_TRUE(eventually(soon(), [&] { return pod_names() == std::vector<std::string>{"cache-clone-3"}; }));
  EXPECT_FALSE(pod("cache-clone-3")["metadata"].contains("ownerReferences"));
  EXPECT_EQ(restarts("cache-clone-3"), 0);
  EXPECT_EQ(kubectl({"exec", "cache-clone-3", "--", "hostname"}), "cache\n") << "the program knows that name";
  const json report = clients.report();
  EXPECT_TRUE(report["problems"].empty()) << report.dump(1);
}

// A Deployment's: ADeploymentsPodMovesTwentyTimesWithAddressConnectionsAndFiles. Here with several replicas, none of
// which is made or ended on that account.
TEST_F(NamesTest, ADeploymentHasNeitherOneMoreNorOneLess) {
  start_redis();
  kubectl({"scale", "deployment", "redis", "--replicas=3"});
  kubectl({"rollout", "status", "deployment/redis", "--timeout=60s"});
  std::vector<std::string> names = pod_names();
  ASSERT_EQ(names.size(), 3U);
  const json status = migrate(names[1])["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  const std::string original = names[1];
  names[1] += "-clone-1";
  EXPECT_TRUE(eventually(soon(), [&] { return pod_names() == names; })) << kubectl({"get", "pods"});
  EXPECT_EQ(get({"deployment", "redis"})["status"].value("readyReplicas", 0), 3);
  // That it deletes, but the pod that has moved.
  for (const json& event : get({"events", "--field-selector", "reason=SuccessfulDelete"})["items"]) {
    EXPECT_THAT(event.value("message", ""), EndsWith(original));
  }
}

// A Job takes a pod that is deleted for one that failed: here it would not forgive one.
TEST_F(NamesTest, AJobsPodEndsItsWorkElsewhereAndCountsOnce) {
  apply(R"({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "sum"},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": "sum"}}, "spec": {
              "runtimeClassName": "live", "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
              "containers": [{"name": "sum", "image": "godwit.test/tiny:1", "imagePullPolicy": "Never",
                "command": ["sh", "-c", "n=0; while [ ! -e /tmp/enough ]; do n=$((n+1)); sleep 0.05; done; echo $n"]
              }]}}}})");
  EXPECT_TRUE(eventually(patient(), [&] { return get({"job", "sum"})["status"].value("ready", 0) == 1; }));
  const std::string original = pod_names().at(0);
  const std::string uid = get({"job", "sum"})["metadata"].value("uid", "");
  const json status = migrate(original)["status"];
  ASSERT_EQ(status.value("state", ""), "Completed") << status.value("message", "");
  const std::string clone = original + "-clone-1";
  EXPECT_EQ(pod(clone)["metadata"]["ownerReferences"][0].value("uid", ""), uid);
  EXPECT_EQ(migrate(clone)["status"].value("state", ""), "Completed") << "and once more";
  const std::string last = original + "-clone-2";
  EXPECT_TRUE(eventually(soon(), [&] { return pod_names() == std::vector<std::string>{last}; }))
      << kubectl({"get", "pods"});
  kubectl({"exec", last, "--", "touch", "/tmp/enough"});
  EXPECT_TRUE(eventually(patient(), [&] { return get({"job", "sum"})["status"].contains("completionTime"); }))
      << kubectl({"describe", "job", "sum"});
  const json job = get({"job", "sum"})["status"];
  EXPECT_EQ(job.value("succeeded", 0), 1);
  EXPECT_EQ(job.value("failed", 0), 0);
  EXPECT_GT(std::stoi(kubectl({"logs", last})), 10);
  EXPECT_THAT(pod_names(), ElementsAre(last));
}

}  // namespace
}  // namespace godwit
