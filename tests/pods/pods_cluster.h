// A real cluster whose nodes have Godwit: godwit-runc as the runtime class "live", godwit-cni before the network's own
// plugin, an agent on each node, and the live controller outside of them.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "space.h"

namespace godwit {

using cluster::eventually;
using cluster::patient;
using cluster::soon;
using nlohmann::json;
using std::chrono::seconds;

// So few that a test can use them all up.
inline constexpr int addresses_per_node = 12;

// A program of this folder that talks to a pod, in a place of the cluster, until it is asked for its report.
class ClientProgram {
 public:
  // `name`: of its log. `netns`: the name of a network namespace of that place to run in; empty: the place's own.
  ClientProgram(const lab::Node& place, const std::string& script, const std::vector<std::string>& arguments,
                const std::string& name, const std::string& netns = "");
  // Ends it: {"requests", "longest_wait_ms", "problems"}.
  json report();

 private:
  std::string log_;
  std::optional<os::Subprocess> process_;
};

// Eight that keep their connections. `how`: as clients.py says.
struct Clients : ClientProgram {
  Clients(const lab::Node& place, const std::string& address, int port, const std::string& prefix,
          const std::string& netns = "", const std::vector<std::string>& how = {})
      : ClientProgram(place, "clients.py", arguments(address, port, prefix, how), prefix, netns) {}

 private:
  static std::vector<std::string> arguments(const std::string& address, int port, const std::string& prefix,
                                            const std::vector<std::string>& how) {
    std::vector<std::string> words{address, std::to_string(port), "8", prefix};
    words.insert(words.end(), how.begin(), how.end());
    return words;
  }
};

// One that makes a new connection for each request.
struct NewConnections : ClientProgram {
  NewConnections(const lab::Node& place, const std::string& address, int port)
      : ClientProgram(place, "new_connections.py", {address, std::to_string(port)}, "new-connections") {}
};

// One cluster of each kind of network for the whole program, started by the first test that needs it.
class PodsTest : public cluster::SpaceTest {
 protected:
  void SetUp() override;
  void TearDown() override;
  [[nodiscard]] virtual cluster::NetworkMode network() const { return cluster::NetworkMode::flat; }

  // By the node template; waits until the nodes' labels say so. Empty: all.
  void enable_all_nodes_but(const std::string& excluded) const;
  // A Deployment and a Service "redis", Ready.
  void start_redis(const std::string& pod_spec_extra = "") const;
  // A StatefulSet and a Service "db", Ready: a redis that writes each change to a volume that all nodes may hold.
  // `labels`: of the pods, further ones, as YAML, each after a comma.
  void start_stateful_redis(const std::string& labels = "") const;
  // The one pod that is there: an error if there are more or less.
  [[nodiscard]] std::string only_pod() const;
  [[nodiscard]] json pod(const std::string& name) const { return get({"pod", name}); }
  // Makes a Migration and waits until it is over. Returns the object.
  json migrate(const std::string& pod, const std::string& destination = "", const json& options = json::object()) const;
  // As migrate(), which must succeed. The pod's new name.
  std::string move(const std::string& pod, int destination) const;
  // Reasons of the events about an object, in order of their time.
  [[nodiscard]] std::vector<std::string> event_reasons(const std::string& name) const;

  [[nodiscard]] std::string node_name_of(const std::string& pod) const {
    return this->pod(pod)["spec"].value("nodeName", "");
  }
  [[nodiscard]] int node_of(const std::string& pod) const;
  // The first that is none of these.
  [[nodiscard]] int other_than(const std::vector<int>& nodes) const;
  [[nodiscard]] std::string address_of(const std::string& name) const { return pod(name)["status"].value("podIP", ""); }
  // What the network's own plugin has given out on a node.
  [[nodiscard]] std::set<std::string> reserved(int node) const;
  // A pod to connect from, Ready. The name of its network namespace on its node.
  [[nodiscard]] std::string start_client_pod(int node) const;
  [[nodiscard]] const lab::Node& node(int index) const { return cluster().place(index); }
  void start_agent(int node) const;
  void stop_agent(int node) const;
  // With its workers, as when its container is killed.
  void kill_agent(int node) const;
  // As a power cut; and until it is Ready again and enabled, with an agent.
  void kill_node(int node) const;
  void revive_node(int node) const;
  void start_controller() const;
  void kill_controller() const;
  // While another replica waits; returns when that one leads.
  void kill_leader_beside_another() const;

 private:
  mutable int migrations_ = 0;
};

// What does not depend on the kind of network is tested on one of them only.
class PodsOnAnyNetwork : public PodsTest, public testing::WithParamInterface<cluster::NetworkMode> {
 protected:
  [[nodiscard]] cluster::NetworkMode network() const override { return GetParam(); }
};
#define INSTANTIATE_FOR_BOTH_NETWORKS(suite)                                                                       \
  INSTANTIATE_TEST_SUITE_P(Pods, suite, testing::Values(cluster::NetworkMode::flat, cluster::NetworkMode::routed), \
                           [](const auto& mode) { return cluster::to_string(mode.param); })

}  // namespace godwit
