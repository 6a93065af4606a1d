// The names by which a pod holds what its kubelet wrote into a volume of its own (configMap, secret, projected,
// downward API). The files lie in a directory that is named after the moment of their writing, and `..data` points to
// it: "..2026_11_30_10_00_00.123456789". Who opens or watches such a file has it by that name, and the clone's kubelet
// has chosen another.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "agent/container_description.h"
#include "base/result.h"

namespace godwit::agent {

struct VolumeVersion {
  uint32_t member = 0;      // the container's
  std::string destination;  // of the PodMount
  std::string name;         // the directory that `..data` points to
};

// Of a container that runs, or is frozen; `config` is its config.json.
std::vector<VolumeVersion> volume_versions(const nlohmann::json& config, const std::vector<PodMount>& mounts,
                                           pid_t init_pid, uint32_t member);
// From a peer.
bool valid_version_name(const std::string& name);
// Makes `name` another name for what `..data` points to, in a volume of a kubelet of this node; where something has the
// name already, or `volume` is of another kind, nothing. The kubelet takes no notice, and removes it with the volume.
Result<> alias_version(const std::string& volume, const std::string& name);

}  // namespace godwit::agent
