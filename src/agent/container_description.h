// What the source tells the destination about a container, so that a place can be made for it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "network/interface_config.h"

namespace godwit::agent {

// The root file system: an overlay whose lower layers the destination must have too (the image), or a plain directory.
struct RootFilesystem {
  bool overlay = false;
  std::vector<std::string> lower;  // of an overlay, topmost first; the same paths on both nodes
  std::string options;             // mount options of the overlay that are not layers, e.g. "metacopy=on"
};

// A private tmpfs of the container: its files go along.
struct TmpfsMount {
  std::string mount_point;  // in the container: "/dev/shm"
  std::string options;      // for mount(2): "size=65536k,mode=755"
  bool read_only = false;   // the file system itself
  // Where else directories of it are mounted: {mount point, directory in it}.
  std::vector<std::pair<std::string, std::string>> parts;
};

// A bind mount of a container that a kubelet made. The kubelet of the destination's node has made one for the same
// `destination`.
struct PodMount {
  std::string destination;  // in config.json
  std::string mount_point;  // where that is, symbolic links resolved
  bool carried = false;     // private to the pod (an emptyDir, /dev/shm): its files go along
};

// Names of trees in the file copy: the root file system, the private tmpfs mounts in their order, and from
// `pod_mount_ids` on the mounts of a pod in theirs.
constexpr uint16_t root_filesystem_id = 0;
constexpr uint16_t pod_log_id = 1023;  // what the kubelet has of its log (pod_log.h)
constexpr uint16_t pod_mount_ids = 1024;
// Each container of a session has that many; the pages' indices of processes and objects are divided likewise.
constexpr uint16_t member_file_ids = 2048;
constexpr uint32_t member_indices = 1U << 26;
constexpr uint16_t tmpfs_id(size_t index) {
  return static_cast<uint16_t>(index + 1);
}
constexpr uint16_t pod_mount_id(size_t index) {
  return static_cast<uint16_t>(index + pod_mount_ids);
}

struct ContainerDescription {
  std::string name;
  nlohmann::json config;  // config.json
  network::InterfaceConfig interface;
  RootFilesystem root;
  std::vector<TmpfsMount> tmpfs;
  std::vector<std::string> bind_sources;  // paths of the node that are mounted into the container, outside Kubernetes
  bool in_pod = false;                    // made by a kubelet, here as there
  std::vector<PodMount> pod_mounts;
  std::vector<std::string> cpu_features;
  uint64_t memory_bytes = 0;  // resident, about
};

nlohmann::json to_json(const ContainerDescription& description);
// From a peer: everything is checked. Errors name the member.
Result<ContainerDescription> description_from_json(const nlohmann::json& json);

// Names of files are made of it, with a few letters more.
constexpr size_t container_name_bytes_max = 240;

// Letters, digits, '_', '-', '.', '+'; does not begin with '.' or '-'.
bool valid_container_name(const std::string& name);

}  // namespace godwit::agent
