// What a container of a pod has that its container engine and kubelet made, as its config.json tells.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/container_description.h"
#include "agent/source_record.h"
#include "base/result.h"

namespace godwit::agent {

// The sandbox that the container belongs to, as the container engine calls it; empty: no kubelet made it.
std::string sandbox_of(const nlohmann::json& config);
// What its pod calls it.
std::string container_name_of(const nlohmann::json& config);
// "docker.io/library/redis" of "redis", "redis:8" and "docker.io/library/redis@sha256:...": without tag and digest, and
// with what container engines put before short names.
std::string image_repository(const std::string& image);
// Of a running container.
std::vector<PodMount> pod_mounts(const nlohmann::json& config, pid_t init_pid);
// Marks a container of a pod so that its kubelet cannot end it (HoldRequest of requests.h). Can be repeated.
Result<> hold_container(const std::string& runc_root, const std::string& id);
// Takes that back. If its kubelet has wanted to end it meanwhile, it is ended now: it has when this returns.
Result<> let_go_of_container(const std::string& id);
// Leaves a container that runs elsewhere now to its kubelet: it stays frozen, and the runtime ends it when it is told
// to, and lets nothing new begin in that pod. Memory and network are freed then.
Result<> leave_to_kubelet(const SourceRecord& record);
// Ends what of that was wanted to end while it was held. After leave_to_kubelet().
Result<> end_wanted_copies(const SourceRecord& record);

}  // namespace godwit::agent
