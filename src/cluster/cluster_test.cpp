// What a cluster is configured with.
#include <algorithm>
#include <set>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "cluster/control_plane.h"
#include "cluster/credentials.h"
#include "cluster/layout.h"
#include "cluster/network.h"
#include "cluster/worker.h"

namespace godwit::cluster {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

const ClusterPlan flat{.name = "test", .network = NetworkMode::flat};
const ClusterPlan routed{.name = "test", .network = NetworkMode::routed};

const File& file_of(const std::vector<File>& files, const std::string& path) {
  const auto found = std::ranges::find(files, path, &File::path);
  GODWIT_CHECK(found != files.end());
  return *found;
}

TEST(Network, HasTheTwoModesThatCanBeAskedFor) {
  for (const NetworkMode mode : {NetworkMode::flat, NetworkMode::routed}) {
    EXPECT_EQ(network_mode_from(to_string(mode)).value_or(NetworkMode::flat), mode);
  }
  EXPECT_FALSE(network_mode_from("ipvs"));
}

TEST(Network, FlatGivesEachNodeAddressesOfItsOwnAndAllTheSameGateway) {
  std::set<std::string> starts;
  for (int node = 1; node <= lab::nodes_max; ++node) {
    const json text = json::parse(network_file(flat, node).text);
    const json range = text.at("plugins").at(0).at("ipam").at("ranges").at(0).at(0);
    EXPECT_EQ(range.at("gateway"), flat_gateway);
    EXPECT_EQ(range.at("subnet"), flat_pod_range);
    starts.insert(range.at("rangeStart").get<std::string>());
  }
  EXPECT_EQ(starts.size(), static_cast<size_t>(lab::nodes_max));
}

TEST(Network, DualStackFlatHasARangeOfEachFamily) {
  ClusterPlan dual = flat;
  dual.dual_stack = true;
  const json text = json::parse(network_file(dual, 2).text);
  EXPECT_EQ(text.at("plugins").at(0).at("ipam").at("ranges").size(), 2U);
}

json node(const std::string& name, const json& ranges, const json& addresses) {
  json listed = json::array({{{"type", "Hostname"}, {"address", name}}});
  for (const json& address : addresses) listed.push_back({{"type", "InternalIP"}, {"address", address}});
  return {{"metadata", {{"name", name}}}, {"spec", {{"podCIDRs", ranges}}}, {"status", {{"addresses", listed}}}};
}

TEST(Routes, LeadToEveryOtherNodeByTheFamilyOfTheRange) {
  const json nodes = {
      {"items", json::array({node("node-1", json::array({"10.244.0.0/24"}), json::array({"10.88.0.11"})),
                             node("node-2", json::array({"10.244.1.0/24", "fd88:244:0:1::/64"}),
                                  json::array({"10.88.0.12", "fd88::12"}))})}};
  const auto commands = route_commands(nodes, 1);
  ASSERT_TRUE(commands) << commands.error().message;
  EXPECT_EQ(*commands, (std::vector<std::vector<std::string>>{
                           {"ip", "route", "replace", "10.244.1.0/24", "via", "10.88.0.12"},
                           {"ip", "route", "replace", "fd88:244:0:1::/64", "via", "fd88::12"}}));
  EXPECT_EQ(route_commands(nodes, control_plane)->size(), 3U) << "clients outside reach the pods of all";
}

TEST(Routes, WaitForNodesThatHaveNoRangeYet) {
  json nodes = {{"items", json::array({node("node-2", json::array(), json::array({"10.88.0.12"}))})}};
  nodes["items"][0]["spec"].erase("podCIDRs");
  EXPECT_FALSE(route_commands(nodes, 1));
}

TEST(ControlPlane, GivesNodesRangesOnlyWhenPodsAreRouted) {
  const auto arguments = [](const ClusterPlan& plan) { return control_plane_components(plan)[2].argv; };
  EXPECT_THAT(arguments(routed), Contains("--allocate-node-cidrs"));
  EXPECT_THAT(arguments(flat), Not(Contains("--allocate-node-cidrs")));
}

TEST(Worker, RunsTheClassLiveWithTheRuntimeThatIsAskedFor) {
  ClusterPlan plan = flat;
  plan.live_runtime = "/opt/godwit/bin/some-runtime";
  const std::string text = file_of(worker_files(plan, 1), "/etc/kubernetes/containerd.toml").text;
  EXPECT_THAT(text, HasSubstr("BinaryName = '/opt/godwit/bin/some-runtime'"));
  EXPECT_THAT(text, HasSubstr("BinaryName = '/usr/bin/runc'")) << "all other pods";
}

TEST(Credentials, LetNobodyElseReadASecret) {
  const auto credentials = make_credentials(flat, 2);
  ASSERT_TRUE(credentials) << credentials.error().message;
  ASSERT_EQ(credentials->places.size(), 3U);
  int secrets = 0;
  for (const auto& files : credentials->places) {
    for (const File& file : files) {
      const bool secret = file.text.contains("PRIVATE KEY") || file.text.contains("client-key-data");
      EXPECT_EQ(file.mode, secret ? 0600U : 0644U) << file.path;
      secrets += secret ? 1 : 0;
    }
  }
  EXPECT_GT(secrets, 6);
}

TEST(Credentials, GiveEveryClientAKubeconfigForTheApiServer) {
  const auto credentials = make_credentials(flat, 1);
  ASSERT_TRUE(credentials) << credentials.error().message;
  for (const char* name : {"kubelet.conf", "kube-proxy.conf", "admin.conf"}) {
    const File& file = file_of(credentials->places[1], fmt::format("/etc/kubernetes/{}", name));
    const json text = json::parse(file.text);
    EXPECT_EQ(text.at("clusters").at(0).at("cluster").at("server"), "https://10.88.0.1:6443");
    EXPECT_THAT(text.at("users").at(0).at("user").at("client-key-data").get<std::string>(), Not(testing::IsEmpty()));
  }
}

}  // namespace
}  // namespace godwit::cluster
