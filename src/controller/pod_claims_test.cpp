#include "controller/pod_claims.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

json claim(const std::string& name, const json& modes) {
  return {{"metadata", {{"name", name}}}, {"spec", {{"accessModes", modes}}}};
}

TEST(PodClaims, AreThoseOfItsVolumes) {
  EXPECT_THAT(claims_of(json::parse(R"({"spec": {"volumes": [
                {"name": "a", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "b", "emptyDir": {}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "logs"}}]}})")),
              ElementsAre("data", "logs"));
  EXPECT_THAT(claims_of(json::parse(R"({"spec": {"containers": []}})")), ElementsAre());
}

TEST(PodClaims, OneThatOnlyOneNodeMayHoldIsInTheWay) {
  EXPECT_THAT(claim_obstacles({}), ElementsAre());
  EXPECT_THAT(claim_obstacles({claim("shared", {"ReadWriteOnce", "ReadWriteMany"}),
                               claim("own", json::array({"ReadWriteOnce"})),
                               claim("read", {"ReadOnlyMany", "ReadWriteOnce"}), claim("odd", nullptr)}),
              ElementsAre(HasSubstr("claim own: [\"ReadWriteOnce\"]"), HasSubstr("claim odd: []")));
}

}  // namespace
}  // namespace godwit::controller
