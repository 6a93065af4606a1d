#pragma once

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::network {

// Opens a socket that belongs to the network namespace at `netns_path` (e.g. /proc/42/ns/net; empty: our own). A socket
// stays in the namespace it was made in, so the caller never has to enter it. Errors: as open(2), setns(2), socket(2).
Result<UniqueFd> socket_in(const std::string& netns_path, int domain, int type, int protocol);

}  // namespace godwit::network
