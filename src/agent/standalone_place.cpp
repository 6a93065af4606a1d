#include "agent/standalone_place.h"

#include <sys/mount.h>

#include <fmt/ranges.h>

#include "agent/source_container.h"
#include "network/slot.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

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
  return check_node_fits(config, description);
}

}  // namespace

std::string StandalonePlace::container_id() const {
  return description().name;
}

std::string StandalonePlace::netns_path() const {
  return network::slot_netns_path(description().name);
}

Result<std::unique_ptr<DestinationPlace>> StandalonePlace::make(const AgentConfig& config,
                                                                const ContainerDescription& description,
                                                                const std::function<Result<>()>& before_making) {
  GODWIT_TRY(check_acceptable(config, description));
  GODWIT_TRY(before_making());
  // What an earlier container of that name may have left.
  GODWIT_TRY(remove_container_place(config, description.name));
  std::unique_ptr<StandalonePlace> place(
      new StandalonePlace(config, description, config.containers_path + "/" + description.name));
  auto filled = place->fill();
  if (filled) return place;
  if (auto removed = place->remove(); !removed) filled.error().message += "; and then: " + removed.error().message;
  return std::unexpected(std::move(filled.error()));
}

Result<> StandalonePlace::fill() {
  GODWIT_TRY(make_directories());
  GODWIT_TRY(make_tmpfs());
  GODWIT_TRY(write_config());
  return network::make_slot(description().name, description().interface);
}

Result<> StandalonePlace::make_directories() {
  // Nobody but root may reach what the container made: set-user-id programs, device nodes.
  GODWIT_TRY(os::make_directories(bundle_, 0700));
  for (const char* part : {"/upper", "/work", "/rootfs", "/tmpfs"})
    GODWIT_TRY(os::make_directories(bundle_ + part, 0755));
  // runc binds the root when it starts, long before the root is mounted: in a shared mount it sees that happen.
  if (::mount(bundle_.c_str(), bundle_.c_str(), nullptr, MS_BIND, nullptr) != 0) return fail_errno("bind {}", bundle_);
  if (::mount(nullptr, bundle_.c_str(), nullptr, MS_SHARED, nullptr) != 0) return fail_errno("share {}", bundle_);
  return {};
}

Result<> StandalonePlace::write_config() {
  json config = description().config;
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

std::vector<files::DestinationRoot> StandalonePlace::file_roots() const {
  return roots_with(bundle_ + (description().root.overlay ? "/upper" : "/rootfs"));
}

Result<> StandalonePlace::mount_root() {
  if (!description().root.overlay) return {};
  std::string options = fmt::format("lowerdir={},upperdir={}/upper,workdir={}/work",
                                    fmt::join(description().root.lower, ":"), bundle_, bundle_);
  if (!description().root.options.empty()) options += "," + description().root.options;
  if (::mount("overlay", (bundle_ + "/rootfs").c_str(), "overlay", 0, options.c_str()) != 0) {
    return fail_errno("mount the container's root ({})", options);
  }
  return {};
}

criu::RestorePlace StandalonePlace::restore_place() {
  return {.container_id = description().name, .bundle = bundle_, .pid_file = bundle_ + "/init.pid"};
}

Result<> StandalonePlace::remove() {
  return remove_container_place(config_, description().name);
}

}  // namespace godwit::agent
