#include "install/network_config.h"

#include <algorithm>

namespace godwit::install {

using nlohmann::json;

Result<std::optional<std::string>> chosen_network_file(std::vector<std::string> names) {
  std::erase_if(names, [](const std::string& name) {
    return name == network_file_name || name.starts_with('.') ||
           !(name.ends_with(".conf") || name.ends_with(".conflist") || name.ends_with(".json"));
  });
  const auto first = std::ranges::min_element(names);
  if (first == names.end()) return std::nullopt;
  if (*first < network_file_name) {
    return fail("{} would be taken before Godwit's own {}: give it a name that comes later", *first, network_file_name);
  }
  return *first;
}

Result<json> wrapped_network(const std::string& text) {
  json list = json::parse(text, nullptr, false);
  if (!list.is_object()) return fail("is not a JSON object");
  if (!list.contains("plugins")) {
    // A single plugin, as older files have it.
    if (!list.contains("type")) return fail("has neither \"plugins\" nor a \"type\"");
    list = {{"cniVersion", list.value("cniVersion", "0.3.1")},
            {"name", list.value("name", "")},
            {"plugins", json::array({list})}};
  }
  json& plugins = list["plugins"];
  if (!plugins.is_array() || plugins.empty() || !plugins[0].is_object()) return fail("has no plugins");
  for (const json& plugin : plugins) {
    if (plugin.is_object() && plugin.value("type", "") == network_plugin) {
      return fail("has {} in it already, which another version, or somebody by hand, has put there: take it out",
                  network_plugin);
    }
  }
  json delegate = plugins[0];
  // A plugin is told only what its own entry asks for, and hands it on.
  json capabilities = delegate.value("capabilities", json::object());
  capabilities["io.kubernetes.cri.pod-annotations"] = true;
  plugins[0] = {{"type", network_plugin}, {"capabilities", capabilities}, {"delegate", delegate}};
  return list;
}

}  // namespace godwit::install
