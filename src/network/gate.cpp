#include "network/gate.h"

namespace godwit::network {

Result<Gate> Gate::open(const std::string& container_netns_path, const std::string& interface,
                        const std::string& host_netns_path) {
  GODWIT_ASSIGN(RouteSocket inside, RouteSocket::open(container_netns_path));
  GODWIT_ASSIGN(const LinkInfo link, inside.link(interface));
  if (link.kind != "veth") {
    return fail("interface {} of the container is of kind '{}'; only veth interfaces can be moved", interface,
                link.kind);
  }
  GODWIT_ASSIGN(RouteSocket outside, RouteSocket::open(host_netns_path));
  GODWIT_ASSIGN(const LinkInfo peer, outside.link(link.peer_index));
  if (peer.kind != "veth" || peer.peer_index != link.index) {
    return fail("the other end of the container's interface {} is not on this node", interface);
  }
  return Gate(std::move(inside), link.index, std::move(outside), peer.index, peer.name);
}

Result<LoopbackGate> LoopbackGate::open(const std::string& netns_path) {
  GODWIT_ASSIGN(RouteSocket socket, RouteSocket::open(netns_path));
  GODWIT_ASSIGN(const LinkInfo link, socket.link("lo"));
  return LoopbackGate(std::move(socket), link.index);
}

}  // namespace godwit::network
