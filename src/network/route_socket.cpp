#include "network/route_socket.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "network/attributes.h"
#include "network/namespace_socket.h"

namespace godwit::network {
namespace {

constexpr size_t message_bytes_max = 16384;

LinkInfo parse_link(const nlmsghdr* header) {
  LinkInfo info;
  const auto* link = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(header));
  info.index = link->ifi_index;
  for_each_attribute(header, sizeof(ifinfomsg), [&](const nlattr* attribute) {
    switch (mnl_attr_get_type(attribute)) {
      case IFLA_IFNAME:
        info.name = mnl_attr_get_str(attribute);
        break;
      case IFLA_LINK:
        info.peer_index = static_cast<int>(mnl_attr_get_u32(attribute));
        break;
      case IFLA_ADDRESS:
        if (mnl_attr_get_payload_len(attribute) == info.mac.size()) {
          std::memcpy(info.mac.data(), mnl_attr_get_payload(attribute), info.mac.size());
        }
        break;
      case IFLA_LINKINFO:
        for_each_nested(attribute, [&](const nlattr* nested) {
          if (mnl_attr_get_type(nested) == IFLA_INFO_KIND) info.kind = mnl_attr_get_str(nested);
        });
        break;
      default:
        break;
    }
  });
  return info;
}

nlmsghdr* start_link_query(char* buffer, int index) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = RTM_GETLINK;
  header->nlmsg_flags = NLM_F_REQUEST;
  auto* link = static_cast<ifinfomsg*>(mnl_nlmsg_put_extra_header(header, sizeof(ifinfomsg)));
  link->ifi_family = AF_UNSPEC;
  link->ifi_index = index;
  return header;
}

nlmsghdr* start_qdisc(char* buffer, int type, int flags, int index) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = static_cast<uint16_t>(type);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  auto* traffic = static_cast<tcmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(tcmsg)));
  traffic->tcm_family = AF_UNSPEC;
  traffic->tcm_ifindex = index;
  traffic->tcm_parent = TC_H_ROOT;
  return header;
}

// Address bytes in network order: 4 or 16 of them.
Result<std::vector<uint8_t>> address_bytes(const std::string& text) {
  for (const int family : {AF_INET, AF_INET6}) {
    std::vector<uint8_t> bytes(family == AF_INET ? 4 : 16);
    if (::inet_pton(family, text.c_str(), bytes.data()) == 1) return bytes;
  }
  return fail("'{}' is not an IP address", text);
}

Result<nlmsghdr*> start_route(char* buffer, int type, int flags, const HostRoute& route) {
  GODWIT_ASSIGN(const std::vector<uint8_t> address, address_bytes(route.address));
  nlmsghdr* header = mnl_nlmsg_put_header(buffer);
  header->nlmsg_type = static_cast<uint16_t>(type);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  auto* message = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(header, sizeof(rtmsg)));
  message->rtm_family = address.size() == 4 ? AF_INET : AF_INET6;
  message->rtm_dst_len = static_cast<unsigned char>(address.size() * 8);
  message->rtm_table = RT_TABLE_MAIN;
  message->rtm_type = RTN_UNICAST;
  message->rtm_protocol = route.via.empty() ? RTPROT_BOOT : moved_route_protocol;
  message->rtm_scope = route.via.empty() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  if (type == RTM_DELROUTE) message->rtm_scope = RT_SCOPE_NOWHERE;
  mnl_attr_put(header, RTA_DST, address.size(), address.data());
  if (route.interface != 0) mnl_attr_put_u32(header, RTA_OIF, static_cast<uint32_t>(route.interface));
  if (route.via.empty() || type == RTM_DELROUTE) return header;
  GODWIT_ASSIGN(const std::vector<uint8_t> via, address_bytes(route.via));
  if (via.size() != address.size()) return fail("{} cannot be reached via {}", route.address, route.via);
  mnl_attr_put(header, RTA_GATEWAY, via.size(), via.data());
  return header;
}

}  // namespace

Result<RouteSocket> RouteSocket::open(const std::string& netns_path) {
  GODWIT_ASSIGN(UniqueFd fd, socket_in(netns_path, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  // The kernel answers within the call; the bound is for a kernel that does not.
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0)
    return fail_errno("rtnetlink time limit");
  return RouteSocket(std::move(fd));
}

Result<> RouteSocket::request(void* message, LinkInfo* answer) {
  auto* header = static_cast<nlmsghdr*>(message);
  header->nlmsg_seq = ++sequence_;
  if (::send(fd_.get(), header, header->nlmsg_len, 0) < 0) return fail_errno("send to rtnetlink");
  std::vector<char> buffer(message_bytes_max);
  for (;;) {
    const ssize_t got = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno("receive from rtnetlink");
    int left = static_cast<int>(got);
    for (auto* reply = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(reply, left);
         reply = mnl_nlmsg_next(reply, &left)) {
      if (reply->nlmsg_seq != sequence_) continue;
      if (reply->nlmsg_type == NLMSG_ERROR) {
        const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(reply));
        if (error->error == 0) return {};
        errno = -error->error;
        return fail_errno("rtnetlink");
      }
      if (answer != nullptr && reply->nlmsg_type == RTM_NEWLINK) {
        *answer = parse_link(reply);
        return {};
      }
    }
  }
}

Result<LinkInfo> RouteSocket::link(const std::string& name) {
  std::vector<char> buffer(message_bytes_max);
  nlmsghdr* header = start_link_query(buffer.data(), 0);
  mnl_attr_put_strz(header, IFLA_IFNAME, name.c_str());
  LinkInfo info;
  if (auto done = request(header, &info); !done)
    return std::unexpected(std::move(done.error()).context("interface " + name));
  return info;
}

Result<LinkInfo> RouteSocket::link(int index) {
  std::vector<char> buffer(message_bytes_max);
  LinkInfo info;
  if (auto done = request(start_link_query(buffer.data(), index), &info); !done) {
    return std::unexpected(std::move(done.error()).context(fmt::format("interface number {}", index)));
  }
  return info;
}

Result<> RouteSocket::block(int index) {
  std::vector<char> buffer(message_bytes_max);
  nlmsghdr* header = start_qdisc(buffer.data(), RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, index);
  mnl_attr_put_strz(header, TCA_KIND, "blackhole");
  if (auto done = request(header, nullptr); !done) {
    return std::unexpected(std::move(done.error()).context(fmt::format("stop packets on interface number {}", index)));
  }
  return {};
}

Result<> RouteSocket::unblock(int index) {
  std::vector<char> buffer(message_bytes_max);
  auto done = request(start_qdisc(buffer.data(), RTM_DELQDISC, 0, index), nullptr);
  // ENOENT, EINVAL: the interface has no discipline of its own, that is, it is not blocked.
  if (done || done.error().code == ENOENT || done.error().code == EINVAL) return {};
  return std::unexpected(std::move(done.error()).context(fmt::format("let packets pass interface number {}", index)));
}

Result<> RouteSocket::replace_route(const HostRoute& route) {
  std::vector<char> buffer(message_bytes_max);
  GODWIT_ASSIGN(nlmsghdr * header, start_route(buffer.data(), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route));
  if (auto done = request(header, nullptr); !done) {
    return std::unexpected(std::move(done.error()).context("route to " + route.address));
  }
  return {};
}

Result<> RouteSocket::remove_route(const HostRoute& route) {
  std::vector<char> buffer(message_bytes_max);
  GODWIT_ASSIGN(nlmsghdr * header, start_route(buffer.data(), RTM_DELROUTE, 0, route));
  auto done = request(header, nullptr);
  if (done || done.error().code == ESRCH) return {};
  return std::unexpected(std::move(done.error()).context("remove the route to " + route.address));
}

}  // namespace godwit::network
