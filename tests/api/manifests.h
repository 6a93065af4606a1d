// The custom resources' definitions in the tests' API server, and kubectl as users type it.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "control_plane.h"
#include "kube/client.h"

namespace godwit::api {

// Creates the definitions of deploy/helm/godwit/definitions, once in this process, and waits until they are served.
void install_definitions();

// Standard output and error of kubectl; a failed test if its status is not 0.
std::string kubectl(std::vector<std::string> arguments);

// The server's objection to `object`, "accepted" if it has none. The object is created then.
std::string objection(kube::Client& client, const kube::Resource& resource, const nlohmann::json& object);
// The same for a merge patch of one that is there.
std::string objection_to_change(kube::Client& client, const kube::ObjectPath& path, const nlohmann::json& patch);

}  // namespace godwit::api
