#include "controller/planned_moves.h"

#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;

json pod() {
  return {{"metadata", {{"name", "web"}, {"namespace", "shop"}, {"uid", "u1"}, {"labels", {{"app", "web"}}}}},
          {"spec", {{"nodeName", "a"}, {"containers", json::array({json{{"name", "main"}}})}}}};
}

TEST(MovedPod, IsThePodUnderItsClonesNameWhereItGoes) {
  const json moved = moved_pod(pod(), "web-clone-1", "b");
  EXPECT_EQ(moved["metadata"]["labels"]["app"], "web") << "its clone has them only at the end";
  json clone = pod();
  clone["metadata"]["name"] = "web-clone-1";
  clone["spec"]["nodeName"] = "b";
  EXPECT_TRUE(is_clone_of(clone, moved));
  EXPECT_FALSE(is_clone_of(pod(), moved));
  clone["metadata"]["namespace"] = "other";
  EXPECT_FALSE(is_clone_of(clone, moved));
}

TEST(MovedPod, OfAStatefulSetIsNotTheOneThatIsStillHere) {
  const json moved = moved_pod(pod(), "web", "b");
  EXPECT_FALSE(is_clone_of(pod(), moved));
}

TEST(PlannedMoves, EachChoiceKnowsThoseBefore) {
  PlannedMoves moves;
  const auto choose = [&](const std::string& migration, size_t others) {
    return moves.choose(migration, [&](const std::vector<json>& planned) -> Result<json> {
      EXPECT_EQ(planned.size(), others);
      return moved_pod(pod(), "web-clone-1", "b");
    });
  };
  EXPECT_TRUE(choose("m1", 0));
  EXPECT_TRUE(choose("m2", 1));
  moves.forget("m1");
  EXPECT_FALSE(
      moves.choose("m3", [](const std::vector<json>&) -> Result<json> { return fail("no node can take it"); }));
  EXPECT_TRUE(choose("m4", 1)) << "nothing is planned that was not chosen";
}

}  // namespace
}  // namespace godwit::controller
