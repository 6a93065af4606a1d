// The rules of iptables in a container's network namespace: a service mesh has an init container make them, which does
// not run again at the destination.
#pragma once

#include <sys/types.h>
#include <map>
#include <string>

#include "base/result.h"

namespace godwit::network {

// What `iptables-save` and `ip6tables-save` print, by "iptables" and "ip6tables"; none where there are no rules.
using PacketRules = std::map<std::string, std::string>;
inline constexpr size_t packet_rules_bytes_max = size_t{1} << 20;  // of each

// Of the namespace of that process. Error: there are rules that the node's iptables cannot tell (made by the other of
// its two kinds), or more of them than the limit.
Result<PacketRules> read_packet_rules(pid_t pid);
// Where there are rules already everything stays as it is: an init container that was asked to run has made them.
Result<> write_packet_rules(const std::string& netns_path, const PacketRules& rules);

}  // namespace godwit::network
