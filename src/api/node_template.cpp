#include "api/node_template.h"

#include <algorithm>

#include "api/conditions.h"
#include "api/label_selector.h"
#include "kube/json_path.h"

namespace godwit::api {

using kube::number_at;
using kube::text_at;
using kube::value_at;
using nlohmann::json;

Result<NodeTemplateSpec> read_node_template_spec(const json& node_template) {
  NodeTemplateSpec read;
  const json* selector = value_at(node_template, "/spec/nodeSelector");
  // A selector that selects everything is never meant: it would enable the control plane's nodes, too.
  if (selector == nullptr || !selector->is_object() || selector->empty()) return fail("spec.nodeSelector is missing");
  read.node_selector = *selector;
  read.live_migration_enabled = kube::flag_at(node_template, "/spec/liveMigration/enabled");
  read.custom_network = kube::flag_at(node_template, "/spec/customNetwork");
  return read;
}

Result<bool> includes(const NodeTemplateSpec& spec, const json& node) {
  const json* labels = value_at(node, "/metadata/labels");
  return selects(spec.node_selector, labels == nullptr ? json() : *labels);
}

NodeTemplateStatus read_node_template_status(const json& node_template) {
  NodeTemplateStatus read;
  read.observed_generation = number_at(node_template, "/status/observedGeneration");
  read.nodes = number_at(node_template, "/status/nodes");
  read.enabled_nodes = number_at(node_template, "/status/enabledNodes");
  if (const json* refused = value_at(node_template, "/status/refused"); refused != nullptr && refused->is_array()) {
    for (const json& node : *refused) {
      read.refused.push_back({text_at(node, "/name"), text_at(node, "/reason"), text_at(node, "/message")});
    }
  }
  return read;
}

void write_node_template_status(json& node_template, const NodeTemplateStatus& status) {
  json& object = node_template["status"];
  if (!object.is_object()) object = json::object();
  put_generation(object, status.observed_generation);
  object["nodes"] = status.nodes;
  object["enabledNodes"] = status.enabled_nodes;
  json refused = json::array();
  for (size_t i = 0; i < std::min(status.refused.size(), refused_max); ++i) {
    const RefusedNode& node = status.refused[i];
    refused.push_back({{"name", node.name}, {"reason", node.reason}, {"message", node.message}});
  }
  if (refused.empty()) {
    object.erase("refused");
  } else {
    object["refused"] = std::move(refused);
  }
}

}  // namespace godwit::api
