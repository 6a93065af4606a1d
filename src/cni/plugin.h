// godwit-cni: a CNI plugin around the node's own ("delegate"). For a clone pod, one with the annotation
// `cast.ai/restore`, the network that the delegate has made gets the address that the container has on its source, with
// its MAC address and routes, and nothing can leave it before the migration's session opens it. When the sandbox that
// it came from is taken down, the delegate is not told: it would give the address to another pod
// (network/address_book.h). All else is the delegate's.
//
//   {"type": "godwit-cni", "capabilities": {"io.kubernetes.cri.pod-annotations": true}, "delegate": {"type": "bridge"}}
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "network/interface_config.h"

namespace godwit::cni {

// What CNI gives a plugin in its environment (the specification's section 2).
struct Call {
  std::string command;    // ADD, DEL, CHECK, VERSION, ...
  std::string netns;      // a path
  std::string interface;  // in it
  std::string path;       // where plugins are, separated by ':'
  std::string container_id = {};
  std::string arguments = {};
};

// `input`: what came on standard input. Returns what belongs on standard output; may be empty.
Result<std::string> run(const Call& call, const std::string& input);

// The delegate's own configuration: what it needs of ours is added.
Result<nlohmann::json> delegate_config(const nlohmann::json& config);
// Whether a pod can live here with the address that it has: in a network of bridges those of all nodes must be of one
// network; by routes (`routed`) every address can be reached everywhere. `result`: what the delegate has made here.
Result<> check_address_fits(const network::InterfaceConfig& interface, const nlohmann::json& result, bool routed);
// The result that the delegate has given, with another address.
nlohmann::json with_address(nlohmann::json result, const network::InterfaceConfig& interface,
                            const std::string& interface_name);

}  // namespace godwit::cni
