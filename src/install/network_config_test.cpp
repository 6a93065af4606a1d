#include "install/network_config.h"

#include <gmock/gmock.h>

#include "cni/plugin.h"

namespace godwit::install {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST(NetworkConfig, TheFirstFileByNameIsTheNetworks) {
  EXPECT_EQ(chosen_network_file({"20-b.conflist", "10-a.conf", "notes.txt", ".tmp.conf", network_file_name}).value(),
            "10-a.conf");
  EXPECT_EQ(chosen_network_file({network_file_name}).value(), std::nullopt);
  const auto before = chosen_network_file({"00-a.conflist"});
  ASSERT_FALSE(before);
  EXPECT_THAT(before.error().message, HasSubstr("00-a.conflist"));
}

TEST(NetworkConfig, OurPluginComesFirstAndCallsTheNetworks) {
  const auto list = wrapped_network(
      R"({"cniVersion": "1.0.0", "name": "net", "disableCheck": true,
          "plugins": [{"type": "bridge", "bridge": "br0", "capabilities": {"ips": true}}, {"type": "portmap"}]})");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ((*list)["name"], "net");
  EXPECT_EQ((*list)["disableCheck"], true);
  const json& first = (*list)["plugins"][0];
  EXPECT_EQ(first["type"], network_plugin);
  EXPECT_EQ(first["capabilities"], (json{{"ips", true}, {"io.kubernetes.cri.pod-annotations", true}}));
  EXPECT_EQ((*list)["plugins"][1], (json{{"type", "portmap"}}));
  // What our plugin makes of it is what the network's plugin would have been given.
  const auto delegate = cni::delegate_config(first);
  ASSERT_TRUE(delegate);
  EXPECT_EQ(*delegate, (json{{"type", "bridge"}, {"bridge", "br0"}, {"capabilities", {{"ips", true}}}}));
}

TEST(NetworkConfig, ASinglePluginBecomesAList) {
  const auto list = wrapped_network(R"({"cniVersion": "0.4.0", "name": "old", "type": "ptp"})");
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ((*list)["cniVersion"], "0.4.0");
  EXPECT_EQ((*list)["name"], "old");
  ASSERT_EQ((*list)["plugins"].size(), 1U);
  EXPECT_EQ((*list)["plugins"][0]["delegate"]["type"], "ptp");
}

TEST(NetworkConfig, RefusesWhatItCannotWrap) {
  const auto twice = wrapped_network(R"({"name": "n", "plugins": [{"type": "godwit-cni", "delegate": {}}]})");
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.error().message, HasSubstr("already"));
  for (const char* text : {"", "[]", "{}", R"({"plugins": []})", R"({"plugins": [1]})", R"({"plugins": {}})"}) {
    EXPECT_FALSE(wrapped_network(text)) << text;
  }
}

}  // namespace
}  // namespace godwit::install
