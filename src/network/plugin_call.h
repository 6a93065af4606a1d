// Calling a plugin of the network, as the CNI specification has it (section 2): what it shall do in its environment,
// its configuration on standard input, its result or the reason of its failure on standard output.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::network {

struct PluginCall {
  std::string command;       // ADD, DEL, CHECK, ...
  std::string container_id;  // of the sandbox, as the container engine calls it
  std::string netns;         // a path; of a DEL it may be empty
  std::string interface;     // in it
  std::string arguments;     // "NAME=value;NAME=value"
  std::string path;          // where plugins are, separated by ':'
  nlohmann::json config;     // its "type" names the plugin
};

nlohmann::json to_json(const PluginCall& call);
Result<PluginCall> plugin_call_from_json(const nlohmann::json& json);

// What it said. Error: it could not be started, it did not end in time, or it says why it failed.
Result<std::string> call_plugin(const PluginCall& call, Deadline deadline);

}  // namespace godwit::network
