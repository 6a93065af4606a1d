// What a destination makes of the bodies of a source's messages, proper and hostile.
#include "agent/peer_bodies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace godwit::agent {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json proper_prepare() {
  return json::parse(R"({
    "from": "node-a", "stdio": ["/dev/null", "pipe:[1]", "pipe:[1]"], "page_store_bytes": 1048576,
    "container": {
      "name": "redis",
      "config": {"root": {"path": "rootfs"}, "linux": {"namespaces": [{"type": "network"}]}},
      "interface": {"name": "eth0", "mac": "02:00:00:00:00:01", "mtu": 1500, "addresses": ["10.88.1.5/16"],
                    "routes": ["default via 10.88.0.1"], "bridge": "br0"},
      "root": {"overlay": true, "lower": ["/images/redis"], "options": ""},
      "tmpfs": [{"mount_point": "/dev/shm", "options": "size=65536k", "read_only": false,
                 "parts": [["/run/x", "/x"]]}],
      "in_pod": true,
      "pod_mounts": [{"destination": "/var/run/x", "mount_point": "/run/x", "carried": true}],
      "bind_sources": ["/etc/hosts"], "cpu_features": ["sse2"], "memory_bytes": 4096}})");
}

json proper_restore() {
  return json::parse(R"({
    "processes": [{"index": 0, "container_pid": 1, "zombie": false}],
    "objects": [{"index": 0, "path": "/dev/shm/x", "pages": 3,
                 "mappings": [{"process": 0, "start": 4096, "offset": 0}]}],
    "keep_tcp": false,
    "versions": [{"member": 1, "destination": "/etc/settings", "name": "..2026_11_30"}],
    "translated": [{"protocol": 17, "from": {"address": "10.0.0.9", "port": 40000},
                    "to": {"address": "10.0.0.7", "port": 53}, "answers_from": {"address": "10.0.0.7", "port": 15053},
                    "answers_to": {"address": "10.0.0.9", "port": 40000}, "timeout_s": 30, "zone": 2, "tcp_state": 0, "assured": true}]})");
}

TEST(PeerBodies, ProperOnesAreRead) {
  const auto prepare = prepare_from_json(proper_prepare());
  ASSERT_TRUE(prepare) << prepare.error().message;
  EXPECT_EQ(prepare->container.name, "redis");
  EXPECT_EQ(prepare->page_store_bytes, 1048576U);
  EXPECT_EQ(prepare->stdio[1], "pipe:[1]");
  const auto restore = restore_from_json(proper_restore());
  ASSERT_TRUE(restore) << restore.error().message;
  EXPECT_EQ(restore->processes.at(0).container_pid, 1);
  EXPECT_EQ(restore->objects.at(0).mappings.at(0).start, 4096U);
  EXPECT_EQ(restore->keep_tcp, false);
  EXPECT_EQ(restore->versions.at(0).name, "..2026_11_30");
  EXPECT_EQ(restore->translated.at(0).answers_from, (network::Endpoint{"10.0.0.7", 15053}));
  EXPECT_EQ(network::to_json(restore->translated), proper_restore()["translated"]);
}

TEST(PeerBodies, PacketRulesAreThoseOfTwoPrograms) {
  json prepare = proper_prepare();
  prepare["packet_rules"] = {{"iptables", "*nat"}};
  const auto read = prepare_from_json(prepare);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->packet_rules.at("iptables"), "*nat");
  for (const json& wrong : {json("*nat"), json{{"rm", "x"}}, json{{"iptables", 1}},
                            json{{"iptables", std::string(network::packet_rules_bytes_max + 1, 'x')}}}) {
    prepare["packet_rules"] = wrong;
    EXPECT_FALSE(prepare_from_json(prepare));
  }
}

TEST(PeerBodies, APodsOtherContainersAreRead) {
  json prepare = proper_prepare();
  prepare["companions"] = {{{"container", prepare["container"]}, {"stdio", prepare["stdio"]}}};
  prepare["companions"][0]["container"]["name"] = "client";
  const auto read = prepare_from_json(prepare);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->companions.size(), 1U);
  EXPECT_EQ(read->companions[0].container.name, "client");
  prepare["companions"][0]["container"]["in_pod"] = false;
  EXPECT_FALSE(prepare_from_json(prepare)) << "one that no kubelet made";
  for (const json& wrong : {json(7), json::array({json()}), json(std::vector<json>(31, json::object()))}) {
    prepare["companions"] = wrong;
    EXPECT_FALSE(prepare_from_json(prepare)) << wrong;
  }
  json restore = proper_restore();
  restore["processes"][0]["member"] = 1U;
  EXPECT_EQ(restore_from_json(restore)->processes.at(0).member, 1U);
  restore["processes"][0]["member"] = 31U;
  EXPECT_FALSE(restore_from_json(restore));
}

// Every value in a proper body, replaced by one of each other type, is an error and never an exception, except where
// the value is carried and not looked at.
void replace_each(const json& whole, const json& at, const json::json_pointer& pointer,
                  const std::function<void(const json&, const std::string&)>& check) {
  for (const json& wrong : {json(), json(-1), json(1.5), json("text"), json(true), json::array(), json::object(),
                            json::array({json::array({7})})}) {
    if (wrong.type() == at.type()) continue;
    json changed = whole;
    changed[pointer] = wrong;
    check(changed, pointer.to_string());
  }
  if (at.is_object()) {
    for (const auto& [name, value] : at.items()) replace_each(whole, value, pointer / name, check);
  } else if (at.is_array()) {
    for (size_t i = 0; i < at.size(); ++i) replace_each(whole, at[i], pointer / i, check);
  }
}

TEST(PeerBodies, NoWrongTypeIsAnException) {
  size_t refused = 0;
  size_t accepted = 0;
  const auto count = [&](bool good) { ++(good ? accepted : refused); };
  replace_each(proper_prepare(), proper_prepare(), json::json_pointer(),
               [&](const json& changed, const std::string&) { count(prepare_from_json(changed).has_value()); });
  EXPECT_GT(refused, 100U);
  accepted = 0;
  replace_each(proper_restore(), proper_restore(), json::json_pointer(),
               [&](const json& changed, const std::string& where) {
                 const bool good = restore_from_json(changed).has_value();
                 count(good);
                 // An offset is for people; a list may be empty.
                 if (good) EXPECT_THAT(where, testing::AnyOf(HasSubstr("offset"), testing::EndsWith("s"))) << changed;
               });
}

TEST(PeerBodies, NumbersThatMeanNothingAreRefused) {
  for (const char* pointer : {"/processes/0/index", "/processes/0/container_pid", "/objects/0/index"}) {
    json body = proper_restore();
    body[json::json_pointer(pointer)] = uint64_t{1} << 33;
    const auto read = restore_from_json(body);
    ASSERT_FALSE(read) << pointer;
    EXPECT_THAT(read.error().message, HasSubstr("not in"));
  }
  json body = proper_restore();
  body["processes"][0]["container_pid"] = 0;
  EXPECT_FALSE(restore_from_json(body));
}

TEST(PeerBodies, PathsThatLeadElsewhereAreRefused) {
  const auto refused = [](const char* pointer, const json& value) {
    json body = proper_prepare();
    body[json::json_pointer(pointer)] = value;
    return !prepare_from_json(body).has_value();
  };
  for (const char* name : {"../x", "a/b", ".", "..", "-f", "", "a b"}) EXPECT_TRUE(refused("/container/name", name));
  EXPECT_TRUE(refused("/container/root/lower", json::array({"/a:/b"})));
  EXPECT_TRUE(refused("/container/root/lower", json::array({"/a/../b"})));
  EXPECT_TRUE(refused("/container/root/options", "upperdir=/etc"));
  EXPECT_TRUE(refused("/container/tmpfs/0/mount_point", "dev/shm"));
  EXPECT_TRUE(refused("/container/tmpfs/0/parts/0/1", "/../../etc"));
  EXPECT_TRUE(refused("/container/interface/name", "../eth0"));
  EXPECT_TRUE(refused("/container/interface/bridge", "br0;x"));
}

}  // namespace
}  // namespace godwit::agent
