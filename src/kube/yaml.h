// YAML 1.2 text as JSON values: kubeconfig files and manifests.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::kube {

// One value a document ("---" separates them); empty documents are left out. Plain scalars become null, booleans or
// numbers as YAML's core schema has it, quoted ones stay text. Errors name the line; so does a text that grows past all
// reason through aliases.
Result<std::vector<nlohmann::json>> parse_yaml(const std::string& text);
// Exactly one document.
Result<nlohmann::json> parse_yaml_document(const std::string& text);

}  // namespace godwit::kube
