#include "agent/destination_place.h"

#include <sys/mount.h>

#include <numeric>

#include "agent/preflight.h"
#include "agent/source_container.h"
#include "network/slot.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

std::string join(const std::vector<std::string>& words, const char* separator) {
  if (words.empty()) return "";
  return std::accumulate(std::next(words.begin()), words.end(), words.front(),
                         [&](const std::string& text, const std::string& word) { return text + separator + word; });
}

}  // namespace

Result<uint64_t> available_memory_bytes() {
  GODWIT_ASSIGN(const std::string text, os::read_file("/proc/meminfo"));
  const size_t at = text.find("MemAvailable:");
  unsigned long long kib = 0;
  if (at == std::string::npos || std::sscanf(text.c_str() + at, "MemAvailable: %llu", &kib) != 1) {
    return fail("/proc/meminfo does not tell how much memory is available");
  }
  return kib * 1024;
}

namespace {

Result<> check_acceptable(const AgentConfig& config, const ContainerDescription& description) {
  GODWIT_ASSIGN(const os::Output state,
                os::run({.argv = {"runc", "--root", config.runc_root, "state", description.name}},
                        Deadline::after(std::chrono::seconds(10))));
  if (state.status == 0) return fail("node {} has a container named '{}' already", config.node_name, description.name);
  for (const std::string& layer : description.root.lower) {
    if (!os::exists(layer)) return fail("node {} does not have the image layer {}", config.node_name, layer);
  }
  for (const std::string& source : description.bind_sources) {
    if (!os::exists(source)) {
      return fail("node {} does not have {}, which is mounted into the container", config.node_name, source);
    }
  }
  const std::vector<std::string> missing = missing_cpu_features(description.cpu_features);
  if (!missing.empty()) {
    return fail("the CPU of node {} lacks features that the container may be using: {}", config.node_name,
                join(missing, " "));
  }
  GODWIT_ASSIGN(const uint64_t available, available_memory_bytes());
  if (description.memory_bytes > available) {
    return fail("node {} has {} MiB of memory available, the container needs about {} MiB", config.node_name,
                available >> 20, description.memory_bytes >> 20);
  }
  return {};
}

}  // namespace

std::string DestinationPlace::netns_path() const {
  return network::slot_netns_path(description_.name);
}

Result<DestinationPlace> DestinationPlace::make(const AgentConfig& config, const ContainerDescription& description) {
  GODWIT_TRY(check_acceptable(config, description));
  // What an earlier container of that name may have left.
  GODWIT_TRY(remove_container_place(config, description.name));
  DestinationPlace place(description, config.containers_path + "/" + description.name);
  const auto fill = [&]() -> Result<> {
    GODWIT_TRY(place.make_directories());
    GODWIT_TRY(place.make_tmpfs());
    GODWIT_TRY(place.write_config());
    return network::make_slot(description.name, description.interface);
  };
  auto filled = fill();
  if (filled) return place;
  if (auto removed = remove_container_place(config, description.name); !removed) {
    filled.error().message += "; and then: " + removed.error().message;
  }
  return std::unexpected(std::move(filled.error()));
}

Result<> DestinationPlace::make_directories() {
  // Nobody but root may reach what the container made: set-user-id programs, device nodes.
  GODWIT_TRY(os::make_directories(bundle_, 0700));
  for (const char* part : {"/upper", "/work", "/rootfs", "/tmpfs"})
    GODWIT_TRY(os::make_directories(bundle_ + part, 0755));
  // runc binds the root when it starts, long before the root is mounted: in a shared mount it sees that happen.
  if (::mount(bundle_.c_str(), bundle_.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno("bind {}", bundle_);
  if (::mount(nullptr, bundle_.c_str(), nullptr, MS_SHARED, nullptr) != 0) return fail_errno("share {}", bundle_);
  return {};
}

Result<> DestinationPlace::make_tmpfs() {
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) {
    const std::string path = tmpfs_path(i);
    GODWIT_TRY(os::make_directories(path, 0755));
    if (::mount("tmpfs", path.c_str(), "tmpfs", MS_NOSUID, description_.tmpfs[i].options.c_str()) != 0) {
      return fail_errno("mount a tmpfs for {}", description_.tmpfs[i].mount_point);
    }
  }
  return {};
}

Result<> DestinationPlace::write_config() {
  json config = description_.config;
  config["root"]["path"] = bundle_ + "/rootfs";
  bool network = false;
  for (json& space : config["linux"]["namespaces"]) {
    if (space.value("type", "") != "network") continue;
    space["path"] = netns_path();
    network = true;
  }
  if (!network) return fail("config.json of the container names no network namespace");
  return os::write_file_atomic(bundle_ + "/config.json", config.dump());
}

std::vector<files::DestinationRoot> DestinationPlace::file_roots() const {
  std::vector<files::DestinationRoot> roots;
  roots.push_back({.id = root_filesystem_id, .path = bundle_ + (description_.root.overlay ? "/upper" : "/rootfs")});
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) roots.push_back({.id = tmpfs_id(i), .path = tmpfs_path(i)});
  return roots;
}

Result<> DestinationPlace::mount_root() {
  if (!description_.root.overlay) return {};
  std::string options = fmt::format("lowerdir={},upperdir={}/upper,workdir={}/work", join(description_.root.lower, ":"),
                                    bundle_, bundle_);
  if (!description_.root.options.empty()) options += "," + description_.root.options;
  if (::mount("overlay", (bundle_ + "/rootfs").c_str(), "overlay", 0, options.c_str()) != 0) {
    return fail_errno("mount the container's root ({})", options);
  }
  return {};
}

Result<std::vector<criu::MountSource>> DestinationPlace::tmpfs_sources() {
  std::vector<criu::MountSource> sources;
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) {
    const TmpfsMount& mount = description_.tmpfs[i];
    if (mount.read_only && ::mount(nullptr, tmpfs_path(i).c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      return fail_errno("make {} read-only", mount.mount_point);
    }
    sources.push_back({.mount_point = mount.mount_point, .path = tmpfs_path(i)});
    for (const auto& [mount_point, directory] : mount.parts) {
      sources.push_back({.mount_point = mount_point, .path = tmpfs_path(i) + directory});
    }
  }
  return sources;
}

Result<> DestinationPlace::unmount_tmpfs() {
  for (size_t i = 0; i < description_.tmpfs.size(); ++i) {
    if (::umount2(tmpfs_path(i).c_str(), MNT_DETACH) != 0) return fail_errno("unmount {}", tmpfs_path(i));
  }
  return {};
}

}  // namespace godwit::agent
