// Addresses that live on another node than the one that gave them out.
//
// A network's own plugin takes the address of a sandbox for free as soon as it is told that the sandbox is gone (DEL).
// When a pod has moved and taken its address along, that would be wrong: the next pod of this node could get the same
// address. So what is told to the plugin then is put off until nobody has the address any more.
//
// The records are files in /var/lib/cni/godwit (GODWIT_CNI_STATE: another folder), one a sandbox. They outlive a
// restart of the machine, as the plugins' own reservations do. godwit-cni and the agent's workers and orders read and
// write them; a lock makes each of these functions one step.
//
//   kept/<sandbox>    of this node's own: the address leaves, or has left; and the DEL that was put off
//   guest/<sandbox>   a sandbox of this node that has an address which it was not given here
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "network/plugin_call.h"

namespace godwit::network {

// An address that is kept although the sandbox that it was given to is gone.
struct KeptAddress {
  std::string sandbox;
  std::vector<std::string> addresses;  // without prefix lengths
};

// A sandbox with addresses that this node did not give it.
struct Guest {
  std::string netns;                   // a path
  std::vector<std::string> addresses;  // without prefix lengths
  bool routed = false;                 // other nodes reach them by routes of their own (address_routes.h)
};

// One of a guest's addresses.
struct GuestAddress {
  enum class State : uint8_t {
    arriving,  // it still lives where it comes from
    here,
    leaving,  // maybe it has left
  };
  std::string address;
  bool routed = false;
  State state = State::arriving;
};

// "10.0.0.5/24" -> "10.0.0.5"
std::string without_prefix(const std::string& address);

// A sandbox's addresses are about to live elsewhere. Of a guest only that is noted: what it has is kept at home.
Result<> keep_address(const std::string& sandbox, const std::vector<std::string>& addresses);
// They stay, after all. If the sandbox has gone meanwhile, the plugin is told now.
Result<> keep_no_longer(const std::string& sandbox);

// Called by godwit-cni for a DEL. True: it was put off, and is not to be made.
Result<bool> put_off(const PluginCall& del);
// Nobody has the addresses of that sandbox any more: makes the call that was put off. Success if there is none.
Result<> release_address(const std::string& sandbox);
// What is kept and was put off.
Result<std::vector<KeptAddress>> kept_addresses();

Result<> welcome_guest(const std::string& sandbox, const Guest& guest);
Result<std::optional<Guest>> find_guest(const std::string& sandbox);
// From now on the addresses live here. Success if there is no such guest.
Result<> settle_guest(const std::string& sandbox);
// It is gone. What it had is released if this node is its home and it did not go on to another.
Result<> dismiss_guest(const std::string& sandbox);
// The addresses that guests have. One whose network is gone has none.
Result<std::vector<GuestAddress>> guest_addresses();
// Of guests, and of sandboxes whose addresses are about to leave: the network on this node decides where they lead.
Result<std::vector<std::string>> addresses_of_sandboxes();

}  // namespace godwit::network
