#include "agent/container_description.h"

#include <algorithm>
#include <cctype>

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr size_t tmpfs_mounts_max = 256;
constexpr size_t bind_mounts_max = 1024;
constexpr size_t layers_max = 500;  // as many as overlayfs takes
constexpr size_t path_bytes_max = 4096;

// Absolute, without "..", and free of the separators of mount options.
bool safe_path(const std::string& path, const char* forbidden = "") {
  if (path.empty() || path[0] != '/' || path.size() >= path_bytes_max) return false;
  if ((path + "/").find("/../") != std::string::npos || path.find('\0') != std::string::npos) return false;
  return path.find_first_of(forbidden) == std::string::npos || *forbidden == '\0';
}

bool safe_options(const std::string& options) {
  return options.size() < path_bytes_max && std::all_of(
                                                options.begin(), options.end(),
                                                [](char c) {
                                                  return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
                                                         std::string_view("=,_-%").find(c) != std::string_view::npos;
                                                });
}

// What the destination changes in it must have its form; the rest is runc's to judge.
Result<> check_config(const json& config) {
  if (!config.is_object() || !config.contains("root") || !config["root"].is_object()) {
    return fail("config.json without a root");
  }
  const json platform = config.value("linux", json());
  const json namespaces = platform.is_object() ? platform.value("namespaces", json()) : json();
  const auto proper = [](const json& space) { return space.is_object() && space.value("type", json()).is_string(); };
  if (!namespaces.is_array() || !std::all_of(namespaces.begin(), namespaces.end(), proper)) {
    return fail("config.json without a proper list of namespaces");
  }
  return {};
}

Result<> check_root(const RootFilesystem& root) {
  if (root.overlay && root.lower.empty()) return fail("an overlay root without lower layers");
  if (root.lower.size() > layers_max) return fail("an overlay root with more than {} layers", layers_max);
  for (const std::string& layer : root.lower) {
    if (!safe_path(layer, ":,\\")) return fail("overlay layer '{}' is not a path that can be mounted", layer);
  }
  if (!safe_options(root.options)) return fail("overlay options '{}' are not understood", root.options);
  return {};
}

Result<> check_tmpfs(const std::vector<TmpfsMount>& mounts) {
  if (mounts.size() > tmpfs_mounts_max) return fail("more than {} tmpfs mounts", tmpfs_mounts_max);
  for (const TmpfsMount& mount : mounts) {
    if (!safe_path(mount.mount_point)) return fail("tmpfs mount point '{}' is not a path", mount.mount_point);
    if (!safe_options(mount.options)) return fail("tmpfs options '{}' are not understood", mount.options);
    if (mount.parts.size() > tmpfs_mounts_max) return fail("tmpfs {} is mounted too often", mount.mount_point);
    for (const auto& [mount_point, directory] : mount.parts) {
      if (!safe_path(mount_point) || !safe_path(directory))
        return fail("part of tmpfs {} is not a path", mount.mount_point);
    }
  }
  return {};
}

}  // namespace

bool valid_container_name(const std::string& name) {
  if (name.empty() || name.size() > container_name_bytes_max || name[0] == '.' || name[0] == '-') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("_-.+").find(c) != std::string_view::npos;
  });
}

json to_json(const ContainerDescription& description) {
  json tmpfs = json::array();
  for (const TmpfsMount& mount : description.tmpfs) {
    tmpfs.push_back({{"mount_point", mount.mount_point},
                     {"options", mount.options},
                     {"read_only", mount.read_only},
                     {"parts", mount.parts}});
  }
  json pod_mounts = json::array();
  for (const PodMount& mount : description.pod_mounts) {
    pod_mounts.push_back(
        {{"destination", mount.destination}, {"mount_point", mount.mount_point}, {"carried", mount.carried}});
  }
  return {{"name", description.name},
          {"config", description.config},
          {"interface", network::to_json(description.interface)},
          {"root",
           {{"overlay", description.root.overlay},
            {"lower", description.root.lower},
            {"options", description.root.options}}},
          {"tmpfs", tmpfs},
          {"bind_sources", description.bind_sources},
          {"in_pod", description.in_pod},
          {"pod_mounts", pod_mounts},
          {"cpu_features", description.cpu_features},
          {"memory_bytes", description.memory_bytes}};
}

Result<ContainerDescription> description_from_json(const json& source) {
  ContainerDescription description;
  try {
    description.name = source.at("name").get<std::string>();
    description.config = source.at("config");
    description.root.overlay = source.at("root").at("overlay").get<bool>();
    description.root.lower = source.at("root").at("lower").get<std::vector<std::string>>();
    description.root.options = source.at("root").at("options").get<std::string>();
    for (const json& mount : source.at("tmpfs")) {
      description.tmpfs.push_back({.mount_point = mount.at("mount_point").get<std::string>(),
                                   .options = mount.at("options").get<std::string>(),
                                   .read_only = mount.at("read_only").get<bool>(),
                                   .parts = mount.at("parts").get<std::vector<std::pair<std::string, std::string>>>()});
    }
    description.in_pod = source.at("in_pod").get<bool>();
    for (const json& mount : source.at("pod_mounts")) {
      description.pod_mounts.push_back({.destination = mount.at("destination").get<std::string>(),
                                        .mount_point = mount.at("mount_point").get<std::string>(),
                                        .carried = mount.at("carried").get<bool>()});
    }
    description.bind_sources = source.at("bind_sources").get<std::vector<std::string>>();
    description.cpu_features = source.at("cpu_features").get<std::vector<std::string>>();
    description.memory_bytes = source.at("memory_bytes").get<uint64_t>();
    GODWIT_ASSIGN(description.interface, network::interface_from_json(source.at("interface")));
  } catch (const json::exception& error) {
    return fail("description of the container: {}", error.what());
  }
  if (!valid_container_name(description.name)) return fail("'{}' is not a container name", description.name);
  GODWIT_TRY(check_config(description.config));
  if (description.bind_sources.size() > bind_mounts_max) return fail("more than {} bind mounts", bind_mounts_max);
  for (const std::string& path : description.bind_sources) {
    if (!safe_path(path)) return fail("bind mount source '{}' is not a path", path);
  }
  if (description.pod_mounts.size() > bind_mounts_max) return fail("more than {} mounts of a pod", bind_mounts_max);
  for (const PodMount& mount : description.pod_mounts) {
    if (!safe_path(mount.destination) || !safe_path(mount.mount_point))
      return fail("'{}' is not a mount point", mount.destination);
  }
  GODWIT_TRY(check_root(description.root));
  GODWIT_TRY(check_tmpfs(description.tmpfs));
  return description;
}

}  // namespace godwit::agent
