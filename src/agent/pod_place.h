#pragma once

#include <memory>
#include <optional>
#include <utility>

#include "agent/destination_place.h"
#include "agent/pod_claim.h"
#include "criu/container_mounts.h"
#include "os/mountinfo.h"

namespace godwit::agent {

// The place of a container that a kubelet and its container engine have made for a clone pod: bundle, snapshot, mounts,
// cgroup and network are theirs. Ours are only the private tmpfs, until the container has them.
class PodPlace final : public DestinationPlace {
 public:
  // `directory`: for the tmpfs, of the session's. `shared`: the pod has several containers. Refuses a pod that is
  // not made like the source's: another root or other mounts.
  struct Part {
    std::string directory;
    bool shared = false;
  };
  static Result<std::unique_ptr<DestinationPlace>> make(const AgentConfig& config,
                                                        const ContainerDescription& description, PodClaim claim,
                                                        Part part);
  // What a worker that died has left in that directory.
  static Result<> remove_recorded(const std::string& directory);

  [[nodiscard]] std::string container_id() const override { return claim_.container().id; }
  [[nodiscard]] std::string netns_path() const override { return netns_path_; }
  [[nodiscard]] std::string sandbox() const override { return sandbox_; }
  [[nodiscard]] const network::Guest* guest() const override { return guest_ ? &*guest_ : nullptr; }
  [[nodiscard]] criu::RestorePlace restore_place() override;
  [[nodiscard]] std::vector<files::DestinationRoot> file_roots() const override;
  // The engine's own mount went when this place was made.
  Result<> mount_root() override;
  Result<std::vector<criu::MountSource>> mount_sources() override;
  void name_version(const VolumeVersion& version) override;
  Result<> end_create() override;
  [[nodiscard]] pid_t keeper_pid() const override { return keeper_ ? keeper_->keeper_pid() : 0; }
  Result<> arrived() override;
  Result<> remove() override;

 private:
  PodPlace(const ContainerDescription& description, PodClaim claim, Part part)
      : DestinationPlace(description, part.directory + "/tmpfs"), claim_(std::move(claim)), part_(std::move(part)) {}
  Result<> fill();
  Result<> read_config();
  Result<> take_root();
  void remove_mount_points() const;
  [[nodiscard]] std::string root_path() const { return claim_.container().bundle + "/rootfs"; }

  PodClaim claim_;
  Part part_;
  std::optional<PidKeeper> keeper_;
  bool created_ = false;  // as far as the engine knows
  std::string netns_path_;
  std::string sandbox_;
  std::optional<network::Guest> guest_;
  std::string log_directory_;               // of the kubelet; empty: unknown
  std::string log_before_;                  // what arrives of the source's
  std::vector<std::string> foreign_;        // paths of further namespaces that belong to the pod
  std::vector<std::string> mount_sources_;  // of description().pod_mounts, on this node
  std::string root_options_;                // to mount the overlay again
  std::string root_upper_;
};

}  // namespace godwit::agent
