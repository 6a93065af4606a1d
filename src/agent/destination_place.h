// Where an arriving container will live on this node: root, files, network. Made before its files arrive.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/container_description.h"
#include "agent/volume_versions.h"
#include "base/result.h"
#include "criu/container_mounts.h"
#include "criu/restore.h"
#include "files/root.h"
#include "network/address_book.h"

namespace godwit::agent {

// What this node can give without swapping, as the kernel estimates it.
Result<uint64_t> available_memory_bytes();
// CPU features and memory: refuses what cannot run on this node, wherever on it.
Result<> check_node_fits(const AgentConfig& config, const ContainerDescription& description);

// Owned by the destination worker; what it does is in the effects' order, one thread at a time.
class DestinationPlace {
 public:
  virtual ~DestinationPlace() = default;
  DestinationPlace(const DestinationPlace&) = delete;
  DestinationPlace& operator=(const DestinationPlace&) = delete;

  [[nodiscard]] const ContainerDescription& description() const { return description_; }
  // What runc calls the container here.
  [[nodiscard]] virtual std::string container_id() const = 0;
  [[nodiscard]] virtual std::string netns_path() const = 0;
  // The sandbox that it is in, and what that is to the network of this node; empty, null: its place is no pod, or the
  // pod has an address of its own.
  [[nodiscard]] virtual std::string sandbox() const { return ""; }
  [[nodiscard]] virtual const network::Guest* guest() const { return nullptr; }
  // Bundle, name and streams for runc; the caller adds its own directories.
  [[nodiscard]] virtual criu::RestorePlace restore_place() = 0;
  [[nodiscard]] virtual std::vector<files::DestinationRoot> file_roots() const = 0;
  // The overlay may only be mounted once its upper directory is complete.
  virtual Result<> mount_root() = 0;
  // For the restore: what to bind at each tmpfs mount point, and at others that runc does not know by the name that
  // they have in the images. Turns read-only tmpfs read-only.
  virtual Result<std::vector<criu::MountSource>> mount_sources() = 0;
  // What is held open in volumes that the source's kubelet wrote is to be found here. Not worth a failure: only the
  // restore can tell whether it is needed.
  virtual void name_version(const VolumeVersion& /*of_this_container*/) {}
  // The container has binds of its own by now.
  Result<> unmount_tmpfs();
  // Its engine is to know that it was created, though it has not arrived. Can be repeated.
  virtual Result<> end_create() { return {}; }
  // A process whose end, before the container has arrived, means that it must not arrive; 0: there is none.
  [[nodiscard]] virtual pid_t keeper_pid() const { return 0; }
  // It is restored here, and held. Not undone by remove().
  virtual Result<> arrived() { return {}; }
  // After a restore that came to nothing, and was discarded.
  virtual Result<> remove() = 0;

 protected:
  // `tmpfs_directory`: where the container's private tmpfs are mounted until it has them.
  DestinationPlace(ContainerDescription description, std::string tmpfs_directory)
      : description_(std::move(description)), tmpfs_directory_(std::move(tmpfs_directory)) {}
  Result<> make_tmpfs();
  // The root file system at `root_path`, and the private tmpfs.
  [[nodiscard]] std::vector<files::DestinationRoot> roots_with(const std::string& root_path) const;
  Result<std::vector<criu::MountSource>> tmpfs_sources();
  [[nodiscard]] std::string tmpfs_path(size_t index) const { return fmt::format("{}/{}", tmpfs_directory_, index); }

 private:
  ContainerDescription description_;
  std::string tmpfs_directory_;
};

}  // namespace godwit::agent
