#include "network/announce.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if_arp.h>
#include <netinet/icmp6.h>
#include <sys/socket.h>

#include <cstring>

#include "network/namespace_socket.h"
#include "network/route_socket.h"

namespace godwit::network {
namespace {

using Frame = std::vector<uint8_t>;
using Mac = std::array<uint8_t, 6>;

void append(Frame& frame, const void* data, size_t size) {
  const auto* bytes = static_cast<const uint8_t*>(data);
  frame.insert(frame.end(), bytes, bytes + size);
}

void append_u16(Frame& frame, uint16_t value) {
  frame.push_back(static_cast<uint8_t>(value >> 8));
  frame.push_back(static_cast<uint8_t>(value));
}

void append_ethernet(Frame& frame, const Mac& to, const Mac& from, uint16_t protocol) {
  append(frame, to.data(), to.size());
  append(frame, from.data(), from.size());
  append_u16(frame, protocol);
}

// Requests update most caches, replies the rest: both are sent.
Frame gratuitous_arp(const in_addr& address, const Mac& mac, uint16_t operation) {
  constexpr Mac broadcast{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  Frame frame;
  append_ethernet(frame, broadcast, mac, ETH_P_ARP);
  append_u16(frame, ARPHRD_ETHER);
  append_u16(frame, ETH_P_IP);
  frame.push_back(6);
  frame.push_back(4);
  append_u16(frame, operation);
  append(frame, mac.data(), mac.size());
  append(frame, &address, 4);
  const Mac target = operation == ARPOP_REPLY ? mac : Mac{};
  append(frame, target.data(), target.size());
  append(frame, &address, 4);
  return frame;
}

uint16_t icmp6_checksum(const in6_addr& source, const in6_addr& destination, const Frame& message) {
  Frame pseudo;
  append(pseudo, &source, 16);
  append(pseudo, &destination, 16);
  append_u16(pseudo, 0);
  append_u16(pseudo, static_cast<uint16_t>(message.size()));
  append_u16(pseudo, 0);
  append_u16(pseudo, IPPROTO_ICMPV6);
  append(pseudo, message.data(), message.size());
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < pseudo.size(); i += 2) sum += static_cast<uint32_t>(pseudo[i] << 8 | pseudo[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(~sum);
}

Frame neighbour_advertisement(const in6_addr& address, const Mac& mac) {
  in6_addr all_nodes{};
  ::inet_pton(AF_INET6, "ff02::1", &all_nodes);
  Frame message{ND_NEIGHBOR_ADVERT, 0, 0, 0, 0x20, 0, 0, 0};  // flags: override
  append(message, &address, 16);
  message.push_back(ND_OPT_TARGET_LINKADDR);
  message.push_back(1);
  append(message, mac.data(), mac.size());
  const uint16_t sum = icmp6_checksum(address, all_nodes, message);
  message[2] = static_cast<uint8_t>(sum >> 8);
  message[3] = static_cast<uint8_t>(sum);

  constexpr Mac all_nodes_mac{0x33, 0x33, 0, 0, 0, 1};
  Frame frame;
  append_ethernet(frame, all_nodes_mac, mac, ETH_P_IPV6);
  const uint8_t version[4] = {0x60, 0, 0, 0};
  append(frame, version, sizeof version);
  append_u16(frame, static_cast<uint16_t>(message.size()));
  frame.push_back(IPPROTO_ICMPV6);
  frame.push_back(255);
  append(frame, &address, 16);
  append(frame, &all_nodes, 16);
  append(frame, message.data(), message.size());
  return frame;
}

}  // namespace

Result<std::vector<Frame>> announcement_frames(const std::string& address, const Mac& mac) {
  const std::string text = address.substr(0, address.find('/'));
  in_addr v4{};
  if (::inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    return std::vector<Frame>{gratuitous_arp(v4, mac, ARPOP_REQUEST), gratuitous_arp(v4, mac, ARPOP_REPLY)};
  }
  in6_addr v6{};
  if (::inet_pton(AF_INET6, text.c_str(), &v6) == 1) return std::vector<Frame>{neighbour_advertisement(v6, mac)};
  return fail("'{}' is not an IP address", address);
}

Result<Announcer> Announcer::open(const std::string& netns_path, const std::string& interface,
                                  const std::vector<std::string>& addresses) {
  GODWIT_ASSIGN(RouteSocket routes, RouteSocket::open(netns_path));
  GODWIT_ASSIGN(const LinkInfo link, routes.link(interface));
  // Protocol 0: the socket only sends.
  GODWIT_ASSIGN(UniqueFd fd, socket_in(netns_path, AF_PACKET, SOCK_RAW, 0));
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on) != 0) {
    return fail_errno("send past the queueing discipline");
  }
  sockaddr_ll where{};
  where.sll_family = AF_PACKET;
  where.sll_ifindex = link.index;
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0)
    return fail_errno("bind to {}", interface);
  std::vector<Frame> frames;
  for (const std::string& address : addresses) {
    GODWIT_ASSIGN(const std::vector<Frame> more, announcement_frames(address, link.mac));
    frames.insert(frames.end(), more.begin(), more.end());
  }
  return Announcer(std::move(fd), std::move(frames));
}

Result<> Announcer::send() {
  for (const Frame& frame : frames_) {
    if (::send(fd_.get(), frame.data(), frame.size(), 0) < 0) return fail_errno("announce the address");
  }
  return {};
}

}  // namespace godwit::network
