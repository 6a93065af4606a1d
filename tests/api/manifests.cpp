#include "manifests.h"

#include <gtest/gtest.h>

#include "kube/json_path.h"
#include "kube/yaml.h"
#include "objects.h"
#include "os/file.h"

namespace godwit::api {
namespace {

using kube::ObjectPath;
using kube::soon;
using nlohmann::json;

void install(kube::Client& client, const std::string& file) {
  const auto text = os::read_file(std::string(GODWIT_CRDS) + "/" + file);
  ASSERT_TRUE(text.has_value()) << text.error().message;
  const auto definition = kube::parse_yaml_document(*text);
  ASSERT_TRUE(definition.has_value()) << definition.error().message;
  const ObjectPath path{kube::resources::custom_resource_definitions, "", kube::name_of(*definition), ""};
  ASSERT_TRUE(succeeded(client.apply(path, *definition, {"test", false}, soon())));
  json seen;
  const bool served = kube::wait_until([&] {
    seen = client.get(path, soon()).value_or(json::object());
    for (const json& condition : seen["status"]["conditions"]) {
      if (condition["type"] == "Established" && condition["status"] == "True") return true;
    }
    return false;
  });
  ASSERT_TRUE(served) << seen.dump();
  for (const json& condition : seen["status"]["conditions"]) {
    EXPECT_NE(condition["type"], "NonStructuralSchema") << condition.dump();
  }
}

}  // namespace

void install_definitions() {
  static bool installed = false;
  if (std::exchange(installed, true)) return;
  kube::Client client(kube::control_plane().access());
  install(client, "migrations.yaml");
  install(client, "nodetemplates.yaml");
}

std::string kubectl(std::vector<std::string> arguments) {
  const auto output = kube::control_plane().kubectl(std::move(arguments));
  if (!output) {
    ADD_FAILURE() << output.error().message;
    return {};
  }
  EXPECT_EQ(output->status, 0) << output->text;
  return output->text;
}

std::string objection(kube::Client& client, const kube::Resource& resource, const json& object) {
  const std::string space = resource.namespaced ? "default" : "";
  const auto created = client.create({resource, space, "", ""}, object, soon());
  return created ? "accepted" : created.error().message;
}

std::string objection_to_change(kube::Client& client, const ObjectPath& path, const json& patch) {
  const auto changed = client.patch(path, kube::PatchType::merge, patch, soon());
  return changed ? "accepted" : changed.error().message;
}

}  // namespace godwit::api
