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

// Names of trees in the file copy: the root file system, then the private tmpfs mounts in their order.
constexpr uint16_t root_filesystem_id = 0;
constexpr uint16_t tmpfs_id(size_t index) {
  return static_cast<uint16_t>(index + 1);
}

struct ContainerDescription {
  std::string name;
  nlohmann::json config;  // config.json
  network::InterfaceConfig interface;
  RootFilesystem root;
  std::vector<TmpfsMount> tmpfs;
  std::vector<std::string> bind_sources;  // paths of the node that are mounted into the container
  std::vector<std::string> cpu_features;
  uint64_t memory_bytes = 0;  // resident, about
};

nlohmann::json to_json(const ContainerDescription& description);
// From a peer: everything is checked. Errors name the member.
Result<ContainerDescription> description_from_json(const nlohmann::json& json);

// Letters, digits, '_', '-', '.', '+'; at most 255; does not begin with '.' or '-'.
bool valid_container_name(const std::string& name);

}  // namespace godwit::agent
