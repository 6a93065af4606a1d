#pragma once

#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/container_description.h"
#include "base/result.h"
#include "criu/container_mounts.h"
#include "files/root.h"

namespace godwit::agent {

// What this node can give without swapping, as the kernel estimates it.
Result<uint64_t> available_memory_bytes();

// Where an arriving container will live on this node: bundle, files, network. Made before its files arrive. Plain names
// of kernel objects: a recovery removes them by remove_container_place().
//
//   <containers>/<name>/config.json   the source's, with this node's paths
//                       upper, work   of an overlay root
//                       rootfs        the root, mounted by mount_root() when its files are complete
//                       tmpfs/<n>     the private tmpfs mounts
class DestinationPlace {
 public:
  // Refuses what cannot run here: a name in use, missing image layers or bind sources, CPU features, memory.
  static Result<DestinationPlace> make(const AgentConfig& config, const ContainerDescription& description);

  [[nodiscard]] std::vector<files::DestinationRoot> file_roots() const;
  // The overlay may only be mounted once its upper directory is complete.
  Result<> mount_root();
  // For the restore: what to bind at each tmpfs mount point. Turns read-only ones read-only.
  Result<std::vector<criu::MountSource>> tmpfs_sources();
  // The container has binds of its own by now.
  Result<> unmount_tmpfs();

  [[nodiscard]] const std::string& bundle() const { return bundle_; }
  [[nodiscard]] std::string netns_path() const;
  [[nodiscard]] const ContainerDescription& description() const { return description_; }

 private:
  DestinationPlace(ContainerDescription description, std::string bundle)
      : description_(std::move(description)), bundle_(std::move(bundle)) {}
  Result<> make_directories();
  Result<> make_tmpfs();
  Result<> write_config();
  [[nodiscard]] std::string tmpfs_path(size_t index) const { return fmt::format("{}/tmpfs/{}", bundle_, index); }

  ContainerDescription description_;
  std::string bundle_;
};

}  // namespace godwit::agent
