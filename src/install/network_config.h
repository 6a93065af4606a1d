// The network of pods with godwit-cni before it, as pure functions over its configuration.
//
// The network's own file is left as it is: whoever installed the network may write it again at any time. Beside it,
// with a name that comes first, is a copy in which godwit-cni calls the network's first plugin; containerd takes the
// first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::install {

inline constexpr const char* network_file_name = "00-godwit.conflist";
inline constexpr const char* network_plugin = "godwit-cni";

// The file that containerd would take without ours; nothing: there is none. Errors: another file would come before
// ours.
Result<std::optional<std::string>> chosen_network_file(std::vector<std::string> names);

// Its list, or its only plugin, with godwit-cni first. Errors: no JSON, no plugins, godwit-cni is there already.
Result<nlohmann::json> wrapped_network(const std::string& text);

}  // namespace godwit::install
