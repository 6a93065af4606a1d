// How many packets a network namespace's programs have sent, by the kernel's own count.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace godwit::network {

// IP packets of both families that left a socket in that process's network namespace (OutRequests of /proc/PID/net/snmp
// and snmp6): also those to itself, and those that a closed gate dropped. What is sent below IP, as announcements of
// an address are, does not count.
Result<uint64_t> sent_packets(pid_t pid);

}  // namespace godwit::network
