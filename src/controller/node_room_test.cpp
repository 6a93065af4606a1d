#include "controller/node_room.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::controller {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

json asks(const json& requests, const json& more = json::object()) {
  json container = {{"name", "c"}, {"resources", {{"requests", requests}}}};
  container.update(more);
  return container;
}
json pod_on(const std::string& node, const json& requests) {
  return {{"spec", {{"nodeName", node}, {"containers", json::array({asks(requests)})}}},
          {"status", {{"phase", "Running"}}}};
}
json node(const json& allocatable) {
  return {{"metadata", {{"name", "n"}}}, {"status", {{"allocatable", allocatable}}}};
}

TEST(RequestsOf, AreThoseOfAllContainersTogether) {
  const json pod = {{"spec",
                     {{"containers", {asks({{"cpu", "100m"}, {"memory", "1Mi"}}), asks({{"cpu", "0.2"}})}},
                      {"overhead", {{"cpu", "5m"}}}}}};
  EXPECT_THAT(requests_of(pod), UnorderedElementsAre(Pair("cpu", 305), Pair("memory", int64_t{1000} << 20)));
}

TEST(RequestsOf, OrOfAnInitContainerThatNeedsMore) {
  const json sidecar = asks({{"cpu", "1"}}, {{"restartPolicy", "Always"}});
  const json pod = {{"spec",
                     {{"containers", json::array({asks({{"cpu", "1"}, {"memory", "1k"}})})},
                      {"initContainers", {asks({{"cpu", "2500m"}}), sidecar, asks({{"cpu", "3"}})}}}}};
  EXPECT_THAT(requests_of(pod), UnorderedElementsAre(Pair("cpu", 4000), Pair("memory", 1'000'000)))
      << "the last init container beside the sidecar";
}

TEST(RequestsOf, ThePodsOwnCount) {
  const json pod = {{"spec",
                     {{"containers", json::array({asks({{"cpu", "1"}, {"memory", "1"}})})},
                      {"resources", {{"requests", {{"cpu", "2"}}}}}}}};
  EXPECT_THAT(requests_of(pod), UnorderedElementsAre(Pair("cpu", 2000), Pair("memory", 1000)));
}

TEST(NodeRoom, IsWhatTheOthersLeave) {
  NodeRoom room;
  room.add(pod_on("n", {{"cpu", "1500m"}, {"memory", "1Gi"}}));
  room.add(pod_on("other", {{"cpu", "64"}}));
  json ended = pod_on("n", {{"cpu", "64"}});
  ended["status"]["phase"] = "Succeeded";
  room.add(ended);
  EXPECT_EQ(room.pods_on("n"), 1);
  const json has = node({{"cpu", "2"}, {"memory", "2Gi"}, {"pods", "2"}});
  EXPECT_THAT(room.shortages(requests_of(pod_on("here", {{"cpu", "500m"}, {"memory", "1Gi"}})), has), IsEmpty());
  EXPECT_THAT(room.shortages(requests_of(pod_on("here", {{"cpu", "600m"}, {"memory", "1500Mi"}})), has),
              ElementsAre(AllOf(HasSubstr("node n has too little cpu"), HasSubstr("requests 0.6, 0.5 of 2 are left")),
                          HasSubstr("requests 1500 MiB, 1024 MiB of 2048 MiB are left")));
  room.add(pod_on("n", json::object()));
  EXPECT_THAT(room.shortages(requests_of(pod_on("here", json::object())), has),
              ElementsAre(HasSubstr("too little pods")));
  EXPECT_THAT(room.shortages(requests_of(pod_on("here", {{"cpu", "9"}})), node(json::object())), IsEmpty())
      << "it does not say";
  EXPECT_THAT(
      room.shortages(requests_of(pod_on("here", {{"vendor.example/card", "1"}})), node({{"cpu", "9"}, {"pods", "9"}})),
      ElementsAre(HasSubstr("card")))
      << "it has none";
}

}  // namespace
}  // namespace godwit::controller
