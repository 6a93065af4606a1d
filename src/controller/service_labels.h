// A clone that runs and is not Ready yet has the address of the pod that it replaces, and a node's kube-proxy takes an
// endpoint of its own node for the address rather than that of another: on the destination the Service would have
// nobody. So a clone is without the labels by which Services find it until it is Ready.
#pragma once

#include <vector>

#include <nlohmann/json.hpp>

#include "kube/client.h"

namespace godwit::controller {

// Of the pod's labels those by which these Services select it. None if one of these NetworkPolicies selects the pod: it
// must hold for the clone from the first moment. Pure.
nlohmann::json service_labels(const nlohmann::json& pod, const std::vector<nlohmann::json>& services,
                              const std::vector<nlohmann::json>& policies);
// As above, of what is in the pod's namespace; none if it cannot be read.
nlohmann::json find_service_labels(kube::Client& client, const nlohmann::json& pod, const kube::Call& call);

}  // namespace godwit::controller
