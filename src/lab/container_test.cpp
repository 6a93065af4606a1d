#include "lab/container.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace godwit::lab {
namespace {

TEST(Container, MacAndCableFollowFromTheAddress) {
  EXPECT_EQ(mac_of("10.88.1.5/16").value_or("?"), "02:00:0a:58:01:05");
  EXPECT_EQ(mac_of("10.88.1.5").value_or("?"), "02:00:0a:58:01:05");
  EXPECT_EQ(cable_name("10.88.1.5/16").value_or("?"), "v0a580105");
  for (const char* wrong : {"", "10.88.1/16", "fe80::1/64", "node-1"}) EXPECT_FALSE(mac_of(wrong)) << wrong;
}

TEST(Container, ConfigSaysWhatTheSpecSays) {
  const auto config = container_config({.name = "db",
                                        .args = {"server", "--flag"},
                                        .address = "10.88.1.5/16",
                                        .environment = {"A=1"},
                                        .directory = "/srv",
                                        .uid = 7,
                                        .gid = 8,
                                        .memory_limit_bytes = 123456,
                                        .cpu_limit_percent = 50,
                                        .tmpfs = {"/scratch"}});
  const auto& process = config.at("process");
  EXPECT_EQ(process.at("args"), nlohmann::json({"server", "--flag"}));
  EXPECT_EQ(process.at("cwd"), "/srv");
  EXPECT_EQ(process.at("user").at("uid"), 7);
  EXPECT_EQ(process.at("user").at("gid"), 8);
  EXPECT_EQ(process.at("terminal"), false);
  EXPECT_EQ(process.at("env").back(), "A=1");
  EXPECT_EQ(config.at("/linux/resources/memory/limit"_json_pointer), 123456);
  EXPECT_EQ(config.at("/linux/resources/cpu/quota"_json_pointer), 50'000);
  EXPECT_EQ(config.at("mounts").back().at("destination"), "/scratch");
  EXPECT_EQ(config.at("mounts").back().at("type"), "tmpfs");
}

TEST(Container, ConfigHasItsOwnNamespacesAndTheGivenNetwork) {
  const auto config = container_config({.name = "db", .args = {"server"}, .address = "10.88.1.5/16"});
  std::vector<std::string> types;
  for (const auto& entry : config.at("linux").at("namespaces")) {
    types.push_back(entry.at("type"));
    EXPECT_EQ(entry.value("path", ""), types.back() == "network" ? "/run/netns/godwit-db" : "");
  }
  EXPECT_THAT(types, testing::UnorderedElementsAre("pid", "mount", "ipc", "uts", "network"));
  for (const auto& entry : config.at("mounts")) EXPECT_NE(entry.at("type"), "cgroup");
  EXPECT_FALSE(config.at("linux").at("resources").contains("memory"));
}

}  // namespace
}  // namespace godwit::lab
