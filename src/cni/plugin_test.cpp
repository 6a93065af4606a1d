#include "cni/plugin.h"

#include <gtest/gtest.h>

namespace godwit::cni {
namespace {

using nlohmann::json;

TEST(Plugin, TheDelegateGetsTheNetworksNameAndVersion) {
  const auto delegate = delegate_config(json{{"cniVersion", "1.0.0"},
                                             {"name", "flat"},
                                             {"type", "godwit-cni"},
                                             {"prevResult", {{"ips", json::array()}}},
                                             {"delegate", {{"type", "bridge"}, {"bridge", "br0"}}}});
  ASSERT_TRUE(delegate.has_value());
  EXPECT_EQ(*delegate, (json{{"cniVersion", "1.0.0"},
                             {"name", "flat"},
                             {"type", "bridge"},
                             {"bridge", "br0"},
                             {"prevResult", {{"ips", json::array()}}}}));
  EXPECT_FALSE(delegate_config(json{{"type", "godwit-cni"}}).has_value());
}

TEST(Plugin, TheResultNamesTheAddressThatTheContainerKeeps) {
  const json before = {
      {"cniVersion", "1.0.0"},
      {"interfaces", json::array({{{"name", "br0"}, {"mac", "aa:aa:aa:aa:aa:aa"}},
                                  {{"name", "veth1"}, {"mac", "bb:bb:bb:bb:bb:bb"}},
                                  {{"name", "eth0"}, {"mac", "cc:cc:cc:cc:cc:cc"}, {"sandbox", "/n"}}})},
      {"ips", json::array({{{"address", "10.88.2.7/16"}, {"gateway", "10.88.255.254"}, {"interface", 2}}})},
      {"routes", json::array({{{"dst", "0.0.0.0/0"}}})}};
  network::InterfaceConfig interface;
  interface.mac = "02:00:00:00:00:05";
  interface.addresses = {"10.88.1.5/16", "fd00::5/64"};
  const json after = with_address(before, interface, "eth0");
  EXPECT_EQ(after["interfaces"][2]["mac"], "02:00:00:00:00:05");
  EXPECT_EQ(after["interfaces"][0], before["interfaces"][0]);
  EXPECT_EQ(after["interfaces"][1], before["interfaces"][1]);
  EXPECT_EQ(after["ips"], json::array({{{"address", "10.88.1.5/16"}, {"gateway", "10.88.255.254"}, {"interface", 2}},
                                       {{"address", "fd00::5/64"}, {"interface", 2}}}));
  EXPECT_EQ(after["routes"], before["routes"]);
}

TEST(Plugin, AnAddressFitsIntoTheSameSegmentOrIsReachedByRoutes) {
  network::InterfaceConfig interface;
  interface.addresses = {"10.88.1.5/16", "fd88::5/64"};
  interface.bridge = "br0";
  const auto given = [](const char* four, const char* six) {
    return json{{"ips", json::array({{{"address", four}}, {{"address", six}}})}};
  };
  EXPECT_TRUE(check_address_fits(interface, given("10.88.2.7/16", "fd88::2:7/64"), false));
  EXPECT_FALSE(check_address_fits(interface, given("10.89.2.7/16", "fd88::2:7/64"), false))
      << "a segment for each node";
  EXPECT_FALSE(check_address_fits(interface, json{{"ips", json::array({{{"address", "10.88.2.7/16"}}})}}, false));
  EXPECT_FALSE(check_address_fits(interface, given("10.88.2.7/16", "fd88::2:7/64"), true)) << "here it has no bridge";
  interface.bridge.clear();
  EXPECT_TRUE(check_address_fits(interface, given("10.89.2.7/24", "fd89::2:7/64"), true));
  EXPECT_FALSE(check_address_fits(interface, given("10.88.2.7/16", "fd88::2:7/64"), false));
}

TEST(Plugin, SaysWhyItCannotGoOn) {
  const auto garbage = run({.command = "ADD", .netns = "/n", .interface = "eth0", .path = "/nowhere"}, "not json");
  ASSERT_FALSE(garbage.has_value());
  EXPECT_NE(garbage.error().message.find("not JSON"), std::string::npos);
  const auto missing = run({.command = "ADD", .netns = "/n", .interface = "eth0", .path = "/nowhere:/neither"},
                           R"({"delegate": {"type": "bridge"}})");
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("'bridge' is in none of /nowhere:/neither"), std::string::npos);
  EXPECT_FALSE(run({.command = "ADD", .path = "/bin"}, R"({"delegate": {"type": "../sh"}})").has_value());
}

}  // namespace
}  // namespace godwit::cni
