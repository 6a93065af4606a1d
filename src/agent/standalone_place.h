#pragma once

#include <functional>
#include <memory>

#include "agent/destination_place.h"

namespace godwit::agent {

// The place of a container that no kubelet knows, all of our own making. Plain names of kernel objects: a recovery
// removes them by remove_container_place().
//
//   <containers>/<name>/config.json   the source's, with this node's paths
//                       upper, work   of an overlay root
//                       rootfs        the root, mounted by mount_root() when its files are complete
//                       tmpfs/<n>     the private tmpfs mounts
class StandalonePlace final : public DestinationPlace {
 public:
  // Refuses what cannot run here: a name in use, missing image layers or bind sources, CPU features, memory. After
  // that, and before the first thing is made, `before_making`.
  static Result<std::unique_ptr<DestinationPlace>> make(const AgentConfig& config,
                                                        const ContainerDescription& description,
                                                        const std::function<Result<>()>& before_making);

  [[nodiscard]] std::string container_id() const override;
  [[nodiscard]] std::string netns_path() const override;
  [[nodiscard]] criu::RestorePlace restore_place() override;
  [[nodiscard]] std::vector<files::DestinationRoot> file_roots() const override;
  Result<> mount_root() override;
  Result<std::vector<criu::MountSource>> mount_sources() override { return tmpfs_sources(); }
  Result<> remove() override;

 private:
  StandalonePlace(const AgentConfig& config, const ContainerDescription& description, std::string bundle)
      : DestinationPlace(description, bundle + "/tmpfs"), config_(config), bundle_(std::move(bundle)) {}
  Result<> fill();
  Result<> make_directories();
  Result<> write_config();

  AgentConfig config_;
  std::string bundle_;
};

}  // namespace godwit::agent
