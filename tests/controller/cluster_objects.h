// Nodes and pods of an API server that has no kubelets: the tests write what kubelets would.
#pragma once

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "api/names.h"
#include "control_plane.h"
#include "controller/agent_link.h"
#include "fake_agent.h"
#include "kube/client.h"
#include "manifests.h"
#include "objects.h"
#include "transfer/loopback.h"

namespace godwit::controller {

using kube::soon;
using kube::wait_until;
using nlohmann::json;
using std::chrono::seconds;

// A test with nodes and agents; its objects are removed at its end.
class ClusterTest : public testing::Test {
 protected:
  static void SetUpTestSuite();
  ClusterTest();
  ~ClusterTest() override;

  // Named after the test; numbers are unique within it. Its address is 127.0.1.<number>.
  std::string make_node(int number, const json& labels, bool with_agent = true);
  static std::string address(int number) { return fmt::format("127.0.1.{}", number); }
  void set_ready(const std::string& node, bool ready);
  void make_template(const std::string& name, const json& spec);
  void change_template(const std::string& name, const json& spec);
  void remove_template(const std::string& name);
  // A pod that runs; `spec` is merged into its own.
  void make_pod(const std::string& name, const std::string& node, const json& spec = json::object(),
                const json& labels = json::object());
  void set_running(const std::string& pod);
  void make_claim(const std::string& name, const std::string& access_mode);
  void label(const kube::ObjectPath& object, const std::string& label, const json& value);

  [[nodiscard]] kube::ObjectPath node_path(const std::string& name) const {
    return {kube::resources::nodes, "", name, ""};
  }
  [[nodiscard]] kube::ObjectPath pod_path(const std::string& name) const {
    return {kube::resources::pods, space, name, ""};
  }
  // Null if there is no such object.
  json get(const kube::ObjectPath& path);
  json labels_of(const kube::ObjectPath& path);
  bool enabled(const kube::ObjectPath& path) {
    return labels_of(path).value(api::labels::migration_enabled, "") == "true";
  }

  kube::Client client{kube::control_plane().access()};
  std::string test_name;
  std::string space;  // the test's own namespace
  transfer::Authority authority;
  AgentLink link;
  FakeAgents agents;
  bool leaves_objects = false;  // there are too many to remove them one by one

 private:
  std::set<std::string> nodes_;
  std::set<std::string> templates_;
};

}  // namespace godwit::controller
