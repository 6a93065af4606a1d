#include "network/slot.h"

#include <xxhash.h>

#include "network/gate.h"
#include "network/readdress.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

Deadline ip_deadline() {
  return Deadline::after(std::chrono::seconds(10));
}

Result<> ip(std::vector<std::string> words) {
  words.insert(words.begin(), "ip");
  auto done = os::run_checked({.argv = std::move(words)}, ip_deadline());
  if (!done) return std::unexpected(std::move(done.error()));
  return {};
}

// Not the container's bare name: that may be the name of a namespace that somebody else made, for a container that
// lives here or for anything else.
std::string slot_netns_name(const std::string& name) {
  return "godwit-" + name;
}

// Interface names are at most 15 bytes, container names are not.
std::string host_interface_name(const std::string& name) {
  return fmt::format("gw{:012x}", XXH3_64bits(name.data(), name.size()) & 0xffffffffffff);
}

Result<> fill_slot(const std::string& name, const InterfaceConfig& config) {
  const std::string host_interface = host_interface_name(name);
  const std::string netns = slot_netns_name(name);
  const std::string mtu = std::to_string(config.mtu);
  GODWIT_TRY(ip({"link", "add", host_interface, "mtu", mtu, "type", "veth", "peer", "name", config.name, "mtu", mtu,
                 "address", config.mac, "netns", netns}));
  GODWIT_ASSIGN(Gate gate, Gate::open(slot_netns_path(name), config.name));
  GODWIT_TRY(gate.close_outgoing());
  GODWIT_TRY(ip({"-n", netns, "link", "set", "lo", "up"}));
  GODWIT_TRY(ip({"link", "set", host_interface, "master", config.bridge, "up"}));
  return configure_interface(slot_netns_path(name), config);
}

}  // namespace

std::string slot_netns_path(const std::string& name) {
  return "/run/netns/" + slot_netns_name(name);
}

Result<> make_slot(const std::string& name, const InterfaceConfig& config) {
  if (config.bridge.empty()) {
    return fail(
        "the container's interface is not on a bridge of its node; only bridged containers can be moved standalone");
  }
  if (!os::exists("/sys/class/net/" + config.bridge + "/bridge")) {
    return fail("this node has no bridge '{}', which the container's network is on", config.bridge);
  }
  GODWIT_TRY(remove_slot(name));
  GODWIT_TRY(ip({"netns", "add", slot_netns_name(name)}));
  auto done = fill_slot(name, config);
  if (!done) {
    if (auto removed = remove_slot(name); !removed) done.error().message += "; and then: " + removed.error().message;
    return std::unexpected(std::move(done.error()).context("network of the arriving container"));
  }
  return {};
}

Result<> remove_slot(const std::string& name) {
  const std::string host_interface = host_interface_name(name);
  // The pair dies with its host's end at once; with the namespace only when the kernel gets round to it.
  if (os::exists("/sys/class/net/" + host_interface)) GODWIT_TRY(ip({"link", "del", host_interface}));
  if (os::exists(slot_netns_path(name))) GODWIT_TRY(ip({"netns", "del", slot_netns_name(name)}));
  return {};
}

}  // namespace godwit::network
