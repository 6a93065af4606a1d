// The network of a container that is about to arrive: everything there, nothing getting in or out.
#pragma once

#include <string>

#include "base/result.h"
#include "network/interface_config.h"

namespace godwit::network {

// Makes the named network namespace /run/netns/godwit-<name> with a veth pair like `config`, the host's end on the
// bridge `config.bridge` of this node, addresses and routes set, outgoing packets blocked (Gate) so that the address
// can be here while it still lives on the source. An older one of that name is removed first. On an error nothing is
// left. Takes some milliseconds: before the pause.
Result<> make_slot(const std::string& name, const InterfaceConfig& config);
// Removes namespace and interfaces; success if they are not there. Processes inside must have ended.
Result<> remove_slot(const std::string& name);
std::string slot_netns_path(const std::string& name);

}  // namespace godwit::network
