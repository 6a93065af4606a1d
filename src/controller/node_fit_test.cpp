#include "controller/node_fit.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

json node(const json& taints = json::array()) {
  return {{"metadata", {{"name", "n1"}, {"labels", {{"zone", "a"}, {"cores", "8"}}}}}, {"spec", {{"taints", taints}}}};
}

json pod_with_affinity(const json& expressions) {
  return {{"spec",
           {{"affinity",
             {{"nodeAffinity",
               {{"requiredDuringSchedulingIgnoredDuringExecution",
                 {{"nodeSelectorTerms", {{{"matchExpressions", expressions}}}}}}}}}}}}};
}

TEST(Misfits, NoneForAPodThatAsksForNothing) {
  EXPECT_THAT(misfits({{"spec", json::object()}}, node()), IsEmpty());
}

TEST(Misfits, OfANodeSelector) {
  EXPECT_THAT(misfits({{"spec", {{"nodeSelector", {{"zone", "a"}}}}}}, node()), IsEmpty());
  EXPECT_THAT(misfits({{"spec", {{"nodeSelector", {{"zone", "b"}}}}}}, node()), ElementsAre(HasSubstr("zone=b")));
  EXPECT_THAT(misfits({{"spec", {{"nodeSelector", {{"disk", "ssd"}}}}}}, node()), ElementsAre(HasSubstr("disk=ssd")));
}

TEST(Misfits, OfANodeAffinityByEachOperator) {
  const struct {
    const char* expression;
    bool fits;
  } cases[] = {
      {R"({"key": "zone", "operator": "In", "values": ["a", "b"]})", true},
      {R"({"key": "zone", "operator": "In", "values": ["b"]})", false},
      {R"({"key": "disk", "operator": "In", "values": ["ssd"]})", false},
      {R"({"key": "zone", "operator": "NotIn", "values": ["a"]})", false},
      {R"({"key": "disk", "operator": "NotIn", "values": ["ssd"]})", true},
      {R"({"key": "zone", "operator": "Exists"})", true},
      {R"({"key": "disk", "operator": "Exists"})", false},
      {R"({"key": "disk", "operator": "DoesNotExist"})", true},
      {R"({"key": "cores", "operator": "Gt", "values": ["4"]})", true},
      {R"({"key": "cores", "operator": "Gt", "values": ["8"]})", false},
      {R"({"key": "cores", "operator": "Lt", "values": ["9"]})", true},
      {R"({"key": "zone", "operator": "Lt", "values": ["9"]})", false},
  };
  for (const auto& one : cases) {
    const json pod = pod_with_affinity(json::array({json::parse(one.expression)}));
    EXPECT_EQ(misfits(pod, node()).empty(), one.fits) << one.expression;
  }
}

TEST(Misfits, AllExpressionsOfATermMustHold) {
  const json zone = json::parse(R"({"key": "zone", "operator": "Exists"})");
  const json disk = json::parse(R"({"key": "disk", "operator": "Exists"})");
  EXPECT_THAT(misfits(pod_with_affinity(json::array({zone, disk})), node()), ElementsAre(HasSubstr("node affinity")));
}

TEST(Misfits, OfTaintsThatAreNotTolerated) {
  const json gpu = json::parse(R"({"key": "gpu", "value": "yes", "effect": "NoSchedule"})");
  const auto tolerating = [](const char* toleration) {
    return json{{"spec", {{"tolerations", json::array({json::parse(toleration)})}}}};
  };
  EXPECT_THAT(misfits({{"spec", json::object()}}, node(json::array({gpu}))),
              ElementsAre(HasSubstr("gpu=yes:NoSchedule")));
  EXPECT_THAT(misfits(tolerating(R"({"key": "gpu", "value": "yes"})"), node(json::array({gpu}))), IsEmpty());
  EXPECT_THAT(misfits(tolerating(R"({"key": "gpu", "operator": "Exists"})"), node(json::array({gpu}))), IsEmpty());
  EXPECT_THAT(misfits(tolerating(R"({"operator": "Exists"})"), node(json::array({gpu}))), IsEmpty());
  EXPECT_FALSE(misfits(tolerating(R"({"key": "gpu", "value": "no"})"), node(json::array({gpu}))).empty());
  EXPECT_FALSE(
      misfits(tolerating(R"({"key": "gpu", "operator": "Exists", "effect": "NoExecute"})"), node(json::array({gpu})))
          .empty());
}

TEST(Misfits, AWishIsNoneAndACordonIsTheOperators) {
  EXPECT_THAT(
      misfits(
          {{"spec", json::object()}},
          node(json::array({json::parse(R"({"key": "a", "effect": "PreferNoSchedule"})"),
                            json::parse(R"({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})")}))),
      IsEmpty());
}

}  // namespace
}  // namespace godwit::controller
