#include "network/neighbours.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "network/attributes.h"
#include "network/namespace_socket.h"
#include "network/netlink.h"
#include "network/route_socket.h"

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr uint16_t known_states = NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE;

template <size_t Size>
nlmsghdr* start_message(std::array<char, Size>& buffer, int type, int flags, ndmsg about) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
  header->nlmsg_type = static_cast<uint16_t>(type);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  std::memcpy(mnl_nlmsg_put_extra_header(header, sizeof(ndmsg)), &about, sizeof about);
  return header;
}

// The neighbour of a message, or an empty address if it is of another interface or not known.
Neighbour parse(const nlmsghdr* header, int index) {
  const auto* about = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(header));
  Neighbour neighbour;
  bool has_mac = false;
  if (about->ndm_ifindex != index || (about->ndm_state & known_states) == 0) return {};
  for_each_attribute(header, sizeof(ndmsg), [&](const nlattr* attribute) {
    const auto* bytes = static_cast<const uint8_t*>(mnl_attr_get_payload(attribute));
    const size_t size = mnl_attr_get_payload_len(attribute);
    if (mnl_attr_get_type(attribute) == NDA_DST && (size == 4 || size == 16)) {
      neighbour.address.assign(bytes, bytes + size);
    }
    if (mnl_attr_get_type(attribute) == NDA_LLADDR && size == neighbour.mac.size()) {
      std::memcpy(neighbour.mac.data(), bytes, size);
      has_mac = true;
    }
  });
  return has_mac ? neighbour : Neighbour{};
}

}  // namespace

json to_json(const std::vector<Neighbour>& neighbours) {
  json list = json::array();
  for (const Neighbour& neighbour : neighbours) {
    char text[INET6_ADDRSTRLEN] = {};
    ::inet_ntop(neighbour.address.size() == 4 ? AF_INET : AF_INET6, neighbour.address.data(), text, sizeof text);
    list.push_back({{"address", text}, {"mac", fmt::format("{:02x}", fmt::join(neighbour.mac, ":"))}});
  }
  return list;
}

Result<std::vector<Neighbour>> neighbours_from_json(const json& source) {
  std::vector<Neighbour> neighbours;
  if (!source.is_array() || source.size() > neighbours_max) return fail("neighbours: not a list, or too long a one");
  for (const json& entry : source) {
    if (!entry.is_object() || !entry.contains("address") || !entry["address"].is_string() || !entry.contains("mac") ||
        !entry["mac"].is_string()) {
      return fail("neighbours: an entry without address and mac");
    }
    const auto& address = entry["address"].get_ref<const std::string&>();
    const auto& mac = entry["mac"].get_ref<const std::string&>();
    Neighbour neighbour;
    neighbour.address.resize(16);
    if (::inet_pton(AF_INET, address.c_str(), neighbour.address.data()) == 1) {
      neighbour.address.resize(4);
    } else if (::inet_pton(AF_INET6, address.c_str(), neighbour.address.data()) != 1) {
      return fail("neighbours: '{}' is not an IP address", address.substr(0, INET6_ADDRSTRLEN));
    }
    auto& m = neighbour.mac;
    int used = 0;
    if (std::sscanf(mac.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5],
                    &used) != 6 ||
        static_cast<size_t>(used) != mac.size()) {
      return fail("neighbours: '{}' is not a MAC address", mac.substr(0, 17));
    }
    neighbours.push_back(std::move(neighbour));
  }
  return neighbours;
}

Result<NeighbourTable> NeighbourTable::open(const std::string& netns_path, const std::string& interface) {
  GODWIT_ASSIGN(RouteSocket routes, RouteSocket::open(netns_path));
  GODWIT_ASSIGN(const LinkInfo link, routes.link(interface));
  GODWIT_ASSIGN(UniqueFd fd, socket_in(netns_path, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  return NeighbourTable(std::move(fd), link.index);
}

Result<std::vector<Neighbour>> NeighbourTable::read() {
  std::array<char, 128> request{};
  const nlmsghdr* header = start_message(request, RTM_GETNEIGH, NLM_F_DUMP, ndmsg{});
  std::vector<Neighbour> neighbours;
  GODWIT_TRY(for_each_listed(fd_.get(), header, "the neighbours", [&](const nlmsghdr* reply) {
    if (reply->nlmsg_type != RTM_NEWNEIGH) return;
    Neighbour neighbour = parse(reply, index_);
    if (!neighbour.address.empty() && neighbours.size() < neighbours_max) neighbours.push_back(std::move(neighbour));
  }));
  return neighbours;
}

Result<> NeighbourTable::write(const std::vector<Neighbour>& neighbours) {
  for (const Neighbour& neighbour : neighbours) {
    std::array<char, 256> request{};
    ndmsg about{};
    about.ndm_family = neighbour.address.size() == 4 ? AF_INET : AF_INET6;
    about.ndm_ifindex = index_;
    about.ndm_state = NUD_STALE;
    nlmsghdr* header = start_message(request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, about);
    mnl_attr_put(header, NDA_DST, neighbour.address.size(), neighbour.address.data());
    mnl_attr_put(header, NDA_LLADDR, neighbour.mac.size(), neighbour.mac.data());
    GODWIT_TRY(acknowledged(fd_.get(), header, "add a neighbour"));
  }
  return {};
}

}  // namespace godwit::network
