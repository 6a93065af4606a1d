#include "install/containerd_config.h"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "install/toml.h"

namespace godwit::install {
namespace {

// The plugin that runs containers for the kubelet, by version of the configuration.
constexpr const char* plugin_of_version_2 = "io.containerd.grpc.v1.cri";
constexpr const char* plugin_of_version_3 = "io.containerd.cri.v1.runtime";

Result<toml::table> parse(const std::string& text) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    return fail("line {}: {}", error.source().begin.line, error.description());
  }
}

size_t offset_of(const std::string& text, const toml::source_position& position) {
  size_t offset = 0;
  for (unsigned line = 1; line < position.line; ++line) {
    const size_t end = text.find('\n', offset);
    if (end == std::string::npos) return text.size();
    offset = end + 1;
  }
  return offset;
}

// As containerd reads an entry of `imports`: relative to the main file, and with `*`.
bool covers(const std::string& pattern, const std::string& config_path, const std::string& path) {
  const std::filesystem::path full = std::filesystem::path(config_path).parent_path() / pattern;
  return ::fnmatch(full.lexically_normal().c_str(), path.c_str(), FNM_PATHNAME) == 0;
}

std::string in_quotes(const std::string& path) {
  return "\"" + path + "\"";
}

std::string text_of(const toml::table& table, const toml::path& path) {
  return table.at_path(path).value_or(std::string());
}

}  // namespace

Result<int> config_version(const std::string& text) {
  GODWIT_ASSIGN(const toml::table config, parse(text));
  // Without one it is 1, as it was before versions.
  const auto version = config["version"].value_or(int64_t{1});
  if (version == 1) {
    return fail("is of version 1, which has no runtime handlers: `containerd config migrate` makes a newer one of it");
  }
  if (version != 2 && version != 3) return fail("is of version {}: this version of Godwit knows 2 and 3", version);
  return static_cast<int>(version);
}

Result<Insertion> import_file(const std::string& text, const std::string& config_path, const std::string& path) {
  GODWIT_TRY(config_version(text));
  GODWIT_ASSIGN(const toml::table config, parse(text));
  const toml::node* node = config.get("imports");
  if (node == nullptr) {
    // A key that stands before all tables belongs to none.
    const std::string line = fmt::format("imports = [{}] # added by Godwit\n", in_quotes(path));
    return Insertion{.text = line + text, .inserted = line};
  }
  const toml::array* imports = node->as_array();
  if (imports == nullptr) return fail("has `imports` that are no list");
  for (const toml::node& entry : *imports) {
    if (covers(entry.value_or(std::string()), config_path, path)) return Insertion{.text = text, .inserted = ""};
  }
  const size_t line = offset_of(text, imports->source().begin);
  const size_t bracket = text.find('[', line + imports->source().begin.column - 1);
  if (bracket == std::string::npos) return fail("has `imports` that cannot be added to");
  const std::string inserted = in_quotes(path) + (imports->empty() ? "" : ", ");
  std::string after = text;
  after.insert(bracket + 1, inserted);
  GODWIT_TRY(parse(after));
  return Insertion{.text = after, .inserted = inserted};
}

Result<std::string> without_insertion(const std::string& text, const std::string& inserted, const std::string& path) {
  std::string before = text;
  const size_t at = inserted.empty() ? std::string::npos : text.find(inserted);
  if (at != std::string::npos) before.erase(at, inserted.size());
  if (!inserted.empty() && before.contains(in_quotes(path))) {
    return fail("imports {} in a way that is not Godwit's any more: take it out by hand", path);
  }
  return before;
}

Result<std::string> handler_file(const std::string& main_text, const std::string& runtime) {
  GODWIT_ASSIGN(const int version, config_version(main_text));
  GODWIT_ASSIGN(toml::table main, parse(main_text));
  const char* plugin = version == 2 ? plugin_of_version_2 : plugin_of_version_3;
  toml::table settings;
  if (version == 2) {
    if (const toml::table* own = main["plugins"][plugin].as_table()) settings = *own;
  }
  // Godwit's annotations reach the runtime and the network plugins.
  const toml::array annotations{"cast.ai/*"};
  toml::table handler{{"runtime_type", "io.containerd.runc.v2"},
                      {"pod_annotations", annotations},
                      {"container_annotations", annotations},
                      {"options", toml::table{{"BinaryName", runtime}}}};
  // What the node's own handler says of cgroups holds for ours: pods of both are made by the same kubelet.
  if (const auto own =
          main["plugins"][plugin]["containerd"]["runtimes"]["runc"]["options"]["SystemdCgroup"].value<bool>()) {
    handler["options"].as_table()->insert("SystemdCgroup", *own);
  }
  toml::table& containerd = *settings.insert("containerd", toml::table{}).first->second.as_table();
  toml::table& runtimes = *containerd.insert("runtimes", toml::table{}).first->second.as_table();
  runtimes.insert_or_assign(handler_name, std::move(handler));
  const toml::table whole{{"version", version}, {"plugins", toml::table{{plugin, std::move(settings)}}}};
  std::ostringstream text;
  text << "# Made by Godwit, which replaces this file when it starts, and removes it when it is uninstalled.\n"
       << whole << "\n";
  return text.str();
}

Result<Effective> read_effective(const std::string& dump) {
  GODWIT_ASSIGN(const toml::table config, parse(dump));
  Effective effective{.cni_configurations = "/etc/cni/net.d", .socket = text_of(config, toml::path("grpc.address"))};
  if (effective.socket.empty()) effective.socket = "/run/containerd/containerd.sock";
  for (const char* plugin : {plugin_of_version_2, plugin_of_version_3}) {
    const toml::table* settings = config["plugins"][plugin].as_table();
    if (settings == nullptr) continue;
    if (const std::string directory = text_of(*settings, toml::path("cni.conf_dir")); !directory.empty()) {
      effective.cni_configurations = directory;
    }
    if (const toml::array* several = settings->at_path("cni.bin_dirs").as_array()) {
      for (const toml::node& one : *several) effective.cni_programs.push_back(one.value_or(std::string()));
    }
    // The older name; the newer one counts where both are.
    const std::string one = text_of(*settings, toml::path("cni.bin_dir"));
    if (!one.empty() && effective.cni_programs.empty()) effective.cni_programs.push_back(one);
    const auto program = (*settings)["containerd"]["runtimes"][handler_name]["options"]["BinaryName"];
    if (program) effective.handler_program = program.value_or(std::string());
  }
  std::erase(effective.cni_programs, "");
  if (effective.cni_programs.empty()) effective.cni_programs.emplace_back("/opt/cni/bin");
  return effective;
}

}  // namespace godwit::install
