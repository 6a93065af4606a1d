// While a StatefulSet's pod moves, its old object has gone and the new one is not Ready yet, although the container
// runs all the time: slices of our own keep the pod's address in its Services until the new pod is Ready.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "kube/client.h"

namespace godwit::controller {

// Of all slices of a namespace: what keeps the endpoints of the pod with that uid. Pure. `pod`: its name.
std::vector<nlohmann::json> bridging_slices(const std::vector<nlohmann::json>& slices, const std::string& pod,
                                            const std::string& uid);

// Whether a Service would have lost the pod without these: the slices that Kubernetes itself makes do not have the new
// pod as ready yet. `slices`: all of a namespace. Pure.
bool bridge_is_needed(const std::vector<nlohmann::json>& slices, const std::string& pod);

// All can be repeated. Errors are the API server's.
Result<> bridge_endpoints(kube::Client& client, const std::string& namespace_name, const std::string& pod,
                          const std::string& uid, const kube::Call& call);
Result<bool> bridge_is_needed(kube::Client& client, const std::string& namespace_name, const std::string& pod,
                              const kube::Call& call);
Result<> remove_endpoint_bridge(kube::Client& client, const std::string& namespace_name, const std::string& pod,
                                const kube::Call& call);

}  // namespace godwit::controller
