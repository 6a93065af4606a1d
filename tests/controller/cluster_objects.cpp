#include "cluster_objects.h"

#include <algorithm>

#include "agent/remote_command.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

std::string name_of_test() {
  std::string name = testing::UnitTest::GetInstance()->current_test_info()->name();
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name.substr(0, 50);
}

template <typename T>
T must(Result<T> result) {
  if (!result) ADD_FAILURE() << result.error().message;
  GODWIT_CHECK(result.has_value());
  return std::move(*result);
}

}  // namespace

ClusterTest::ClusterTest()
    : test_name(name_of_test()),
      space(kube::make_namespace(client, test_name)),
      authority(must(transfer::Authority::create())),
      link(must(authority.identity(agent::controller_name))),
      agents(authority) {}

ClusterTest::~ClusterTest() {
  if (leaves_objects) return;
  for (const std::string& name : nodes_) (void)client.remove(node_path(name), {}, soon());
  for (const std::string& name : templates_) (void)client.remove({api::node_templates, "", name, ""}, {}, soon());
  // No later test is to assess them.
  for (const json& pod : client.list_all(kube::resources::pods, {.namespace_name = space}, soon()).value()) {
    (void)client.remove(pod_path(kube::name_of(pod)), {.grace_period_s = 0}, soon());
  }
}

void ClusterTest::SetUpTestSuite() {
  api::install_definitions();
  kube::Client client(kube::control_plane().access());
  const json runtime = {{"apiVersion", "node.k8s.io/v1"},
                        {"kind", "RuntimeClass"},
                        {"metadata", {{"name", api::runtime_class}}},
                        {"handler", "live"}};
  const auto made =
      client.create({{"node.k8s.io", "v1", "runtimeclasses", "RuntimeClass"}, "", "", ""}, runtime, soon());
  EXPECT_TRUE(made || made.error().already_exists()) << made.error().message;
}

std::string ClusterTest::make_node(int number, const json& labels, bool with_agent) {
  const std::string name = fmt::format("{}-{}", test_name, number);
  const json node = {{"apiVersion", "v1"}, {"kind", "Node"}, {"metadata", {{"name", name}, {"labels", labels}}}};
  EXPECT_TRUE(succeeded(client.create(node_path(""), node, soon())));
  nodes_.insert(name);
  const json status = {{"status", {{"addresses", {{{"type", "InternalIP"}, {"address", address(number)}}}}}}};
  EXPECT_TRUE(
      succeeded(client.patch({kube::resources::nodes, "", name, "status"}, kube::PatchType::merge, status, soon())));
  if (with_agent) agents.answer(name, address(number));
  set_ready(name, true);
  return name;
}

void ClusterTest::set_ready(const std::string& node, bool ready) {
  const json status = {
      {"status", {{"conditions", {{{"type", "Ready"}, {"status", ready ? "True" : "Unknown"}, {"reason", "Test"}}}}}}};
  EXPECT_TRUE(
      succeeded(client.patch({kube::resources::nodes, "", node, "status"}, kube::PatchType::merge, status, soon())));
}

void ClusterTest::make_template(const std::string& name, const json& spec) {
  const json object = {{"apiVersion", api::node_templates.api_version()},
                       {"kind", "NodeTemplate"},
                       {"metadata", {{"name", name}}},
                       {"spec", spec}};
  EXPECT_TRUE(succeeded(client.create({api::node_templates, "", "", ""}, object, soon())));
  templates_.insert(name);
}

void ClusterTest::change_template(const std::string& name, const json& spec) {
  EXPECT_TRUE(
      succeeded(client.patch({api::node_templates, "", name, ""}, kube::PatchType::merge, {{"spec", spec}}, soon())));
}

void ClusterTest::remove_template(const std::string& name) {
  EXPECT_TRUE(succeeded(client.remove({api::node_templates, "", name, ""}, {}, soon())));
  templates_.erase(name);
}

void ClusterTest::make_pod(const std::string& name, const std::string& node, const json& spec, const json& labels) {
  json pod = {{"apiVersion", "v1"},
              {"kind", "Pod"},
              {"metadata", {{"name", name}, {"namespace", space}, {"labels", labels}}},
              {"spec",
               {{"nodeName", node},
                {"runtimeClassName", api::runtime_class},
                {"containers", {{{"name", "main"}, {"image", "none"}}}}}}};
  pod["spec"].merge_patch(spec);
  EXPECT_TRUE(succeeded(client.create(pod_path(""), pod, soon())));
  set_running(name);
}

void ClusterTest::set_running(const std::string& pod) {
  const json started = {{"startedAt", "2024-05-01T12:00:00Z"}};
  const json status = {{"status",
                        {{"phase", "Running"},
                         {"conditions", {{{"type", "Ready"}, {"status", "True"}}}},
                         {"containerStatuses",
                          {{{"name", "main"},
                            {"image", "none"},
                            {"imageID", ""},
                            {"ready", true},
                            {"restartCount", 0},
                            {"containerID", "containerd://" + pod},
                            {"state", {{"running", started}}}}}}}}};
  EXPECT_TRUE(
      succeeded(client.patch({kube::resources::pods, space, pod, "status"}, kube::PatchType::merge, status, soon())));
}

void ClusterTest::make_claim(const std::string& name, const std::string& access_mode) {
  const json claim = {
      {"apiVersion", "v1"},
      {"kind", "PersistentVolumeClaim"},
      {"metadata", {{"name", name}}},
      {"spec", {{"accessModes", json::array({access_mode})}, {"resources", {{"requests", {{"storage", "1Mi"}}}}}}}};
  EXPECT_TRUE(succeeded(client.create({kube::resources::persistent_volume_claims, space, "", ""}, claim, soon())));
}

void ClusterTest::label(const kube::ObjectPath& object, const std::string& label, const json& value) {
  const json patch = {{"metadata", {{"labels", {{label, value}}}}}};
  EXPECT_TRUE(succeeded(client.patch(object, kube::PatchType::merge, patch, soon())));
}

json ClusterTest::get(const kube::ObjectPath& path) {
  auto object = client.get(path, soon());
  EXPECT_TRUE(object || object.error().not_found()) << object.error().message;
  return object ? *std::move(object) : json();
}

json ClusterTest::labels_of(const kube::ObjectPath& path) {
  const json object = get(path);
  const json* labels = kube::value_at(object, "/metadata/labels");
  return labels == nullptr ? json::object() : *labels;
}

}  // namespace godwit::controller
