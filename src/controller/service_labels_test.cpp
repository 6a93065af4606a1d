#include "controller/service_labels.h"

#include <gtest/gtest.h>

namespace godwit::controller {
namespace {

using nlohmann::json;

const json pod = json::parse(R"({"metadata": {"labels": {"app": "web", "tier": "front", "hash": "7d"}}})");

json service(const json& selector) {
  return {{"spec", {{"selector", selector}}}};
}
json policy(const json& match_labels) {
  return {{"spec", {{"podSelector", {{"matchLabels", match_labels}}}}}};
}

TEST(ServiceLabels, AreThoseByWhichServicesSelectThePod) {
  const std::vector<json> services = {service({{"app", "web"}}), service({{"app", "other"}, {"hash", "7d"}}),
                                      json{{"spec", {{"clusterIP", "None"}}}}};
  EXPECT_EQ(service_labels(pod, services, {}), json({{"app", "web"}}));
  EXPECT_EQ(service_labels(pod, {}, {}), json::object());
}

TEST(ServiceLabels, NoneAreHeldBackFromANetworkPolicy) {
  const std::vector<json> services = {service({{"app", "web"}})};
  EXPECT_EQ(service_labels(pod, services, {policy({{"app", "other"}})}), json({{"app", "web"}}));
  EXPECT_EQ(service_labels(pod, services, {policy({{"tier", "front"}})}), json::object());
  EXPECT_EQ(service_labels(pod, services, {json{{"spec", {{"podSelector", json::object()}}}}}), json::object());
}

}  // namespace
}  // namespace godwit::controller
