#include "network/plugin_call.h"

#include <unistd.h>

#include <sstream>

#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr off_t output_bytes_max = 1 << 20;

Result<std::string> find_plugin(const std::string& directories, const std::string& type) {
  if (type.empty() || type.find('/') != std::string::npos) return fail("'{}' is not the name of a plugin", type);
  std::istringstream list(directories);
  for (std::string directory; std::getline(list, directory, ':');) {
    std::string candidate = directory + "/" + type;
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return fail("the plugin '{}' is in none of {}", type, directories);
}

Result<std::string> contents_of(const UniqueFd& file) {
  const off_t size = ::lseek(file.get(), 0, SEEK_END);
  if (size < 0 || size > output_bytes_max) return fail("the plugin said {} bytes", size);
  std::string text(static_cast<size_t>(size), '\0');
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return fail_errno("lseek");
  GODWIT_TRY(os::read_exact(file.get(), text.data(), text.size()));
  return text;
}

}  // namespace

json to_json(const PluginCall& call) {
  return {{"command", call.command},     {"container_id", call.container_id}, {"netns", call.netns},
          {"interface", call.interface}, {"arguments", call.arguments},       {"path", call.path},
          {"config", call.config}};
}

Result<PluginCall> plugin_call_from_json(const json& source) {
  try {
    return PluginCall{.command = source.at("command").get<std::string>(),
                      .container_id = source.at("container_id").get<std::string>(),
                      .netns = source.at("netns").get<std::string>(),
                      .interface = source.at("interface").get<std::string>(),
                      .arguments = source.at("arguments").get<std::string>(),
                      .path = source.at("path").get<std::string>(),
                      .config = source.at("config")};
  } catch (const json::exception& error) {
    return fail("a call of a network plugin: {}", error.what());
  }
}

Result<std::string> call_plugin(const PluginCall& call, Deadline deadline) {
  if (!call.config.is_object()) return fail("the configuration of a network plugin is no object");
  GODWIT_ASSIGN(const std::string program, find_plugin(call.path, call.config.value("type", "")));
  GODWIT_ASSIGN(const UniqueFd input, os::file_in_memory(call.config.dump()));
  GODWIT_ASSIGN(const UniqueFd output, os::file_in_memory(""));
  GODWIT_ASSIGN(
      os::Subprocess plugin,
      os::Subprocess::start({.argv = {program},
                             .environment = {"CNI_COMMAND=" + call.command, "CNI_CONTAINERID=" + call.container_id,
                                             "CNI_NETNS=" + call.netns, "CNI_IFNAME=" + call.interface,
                                             "CNI_ARGS=" + call.arguments, "CNI_PATH=" + call.path},
                             .descriptors = {{input.get(), 0}, {output.get(), 1}, {STDERR_FILENO, 2}}}));
  GODWIT_ASSIGN(const int status, plugin.wait(deadline));
  GODWIT_ASSIGN(std::string text, contents_of(output));
  if (status == 0) return text;
  const json error = json::parse(text, nullptr, false);
  return fail("{}: {}", program, error.is_object() ? error.value("msg", text) : text);
}

}  // namespace godwit::network
