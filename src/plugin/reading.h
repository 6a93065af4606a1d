// Reading what a user may or may not be allowed to read.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kube/client.h"

namespace godwit::plugin {

// Told in words what could not be read; the verb goes on with the rest.
using Regret = std::function<void(const std::string& what, const kube::ApiError& error)>;

// Nothing: it could not be read, and `regret` was told.
std::optional<std::vector<nlohmann::json>> read_all(kube::Client& client, const kube::Resource& resource,
                                                    const kube::ListOptions& options, const Regret& regret);

// Selects the pods of Godwit's own programs, as its installation labels them.
inline constexpr const char* own_pods = "app.kubernetes.io/name=godwit";
inline constexpr const char* agent_pods = "app.kubernetes.io/name=godwit,app.kubernetes.io/component=agent";

}  // namespace godwit::plugin
