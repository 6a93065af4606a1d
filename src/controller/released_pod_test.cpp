#include "controller/released_pod.h"

#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;

TEST(ReleasedPod, WhatItWasReleasedFromIsFoundAgain) {
  const json pod = json::parse(R"({"metadata": {
      "labels": {"app": "batch", "controller-uid": "u"}, "annotations": {"a": "b"},
      "finalizers": ["batch.kubernetes.io/job-tracking", "mine"],
      "ownerReferences": [{"kind": "Job", "name": "batch", "controller": true}]}})");
  ASSERT_TRUE(is_counted_by_owner(pod));
  json released = pod;
  released.merge_patch(release_patch(pod, {{"controller-uid", "u"}}));
  EXPECT_FALSE(is_counted_by_owner(released));
  EXPECT_FALSE(released["metadata"].contains("ownerReferences"));
  EXPECT_EQ(released["metadata"]["labels"], json({{"app", "batch"}}));
  EXPECT_EQ(released["metadata"]["finalizers"], json::array({"mine"})) << "somebody else's";
  undo_release(released);
  EXPECT_EQ(released, pod);
}

TEST(ReleasedPod, OneThatWasNotIsLeftAsItIs) {
  const json pod = json::parse(R"({"metadata": {"name": "web"}})");
  json same = pod;
  undo_release(same);
  EXPECT_EQ(same, pod);
  EXPECT_FALSE(is_counted_by_owner(pod));
}

}  // namespace
}  // namespace godwit::controller
