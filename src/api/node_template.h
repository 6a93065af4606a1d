// The NodeTemplate resource as typed values, a view as that of migration.h;
// deploy/helm/godwit/definitions/nodetemplates.yaml says what each field means to users.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::api {

struct NodeTemplateSpec {
  nlohmann::json node_selector;  // a metav1.LabelSelector: label_selector.h
  bool live_migration_enabled = false;
  bool custom_network = false;
};

// Errors name the field.
Result<NodeTemplateSpec> read_node_template_spec(const nlohmann::json& node_template);
// Whether a node is one of the template's.
Result<bool> includes(const NodeTemplateSpec& spec, const nlohmann::json& node);

// A node of the template that does not support live migration, and why.
struct RefusedNode {
  std::string name;
  std::string reason;   // CamelCase
  std::string message;  // in words, with what to do
};

struct NodeTemplateStatus {
  int64_t observed_generation = 0;
  int64_t nodes = 0;                 // selected
  int64_t enabled_nodes = 0;         // that support live migration and have the label
  std::vector<RefusedNode> refused;  // the first refused_max of them
};
inline constexpr size_t refused_max = 50;

NodeTemplateStatus read_node_template_status(const nlohmann::json& node_template);
// As write_status() of migration.h.
void write_node_template_status(nlohmann::json& node_template, const NodeTemplateStatus& status);

}  // namespace godwit::api
