#pragma once

#include <string>

#include "base/result.h"
#include "network/interface_config.h"

namespace godwit::network {

// Gives the interface `config.name` of a network namespace, which has neither yet, the addresses and routes of
// `config`, and leaves it up. Its gate must be closed.
Result<> configure_interface(const std::string& netns_path, const InterfaceConfig& config);
// As configure_interface(), and the MAC address, in place of those that the interface has.
Result<> readdress(const std::string& netns_path, const InterfaceConfig& config);

// For a while, beside its own: what is restored has sockets with these addresses.
Result<> borrow_addresses(const std::string& netns_path, const InterfaceConfig& config);
Result<> return_addresses(const std::string& netns_path, const InterfaceConfig& config);

}  // namespace godwit::network
