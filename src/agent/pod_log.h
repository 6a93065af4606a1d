// The log of a pod's container goes on where it moves to: what its kubelet has of it goes along as files do, and stands
// before what the container says at the destination, so that `kubectl logs` shows both. Logs that were rotated away
// stay behind.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace godwit::agent {

constexpr size_t continued_log_bytes_max = size_t{16}
                                           << 20;  // a kubelet rotates a log at 10 MiB, unless told otherwise

// Where the kubelet of this node keeps the logs of the container with that config.json: files N.log, one for each
// start. Empty: nobody can say, or there is no such directory.
std::string pod_log_directory(const nlohmann::json& config);

// Puts the newest log in `before` (at most the end of it, in whole lines) into that in `directory`, which must not have
// been written to, and removes `before`.
Result<> continue_log(const std::string& before, const std::string& directory);

}  // namespace godwit::agent
