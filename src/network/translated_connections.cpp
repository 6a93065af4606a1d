#include "network/translated_connections.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "network/attributes.h"
#include "network/namespace_socket.h"
#include "network/netlink.h"

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr uint32_t translated_bits = IPS_SRC_NAT | IPS_DST_NAT;

// --- what the kernel says ---

std::string address_text(const nlattr* attribute) {
  char text[INET6_ADDRSTRLEN] = {};
  const bool four = mnl_attr_get_payload_len(attribute) == sizeof(in_addr);
  ::inet_ntop(four ? AF_INET : AF_INET6, mnl_attr_get_payload(attribute), text, sizeof text);
  return text;
}

// Attributes that are shorter than they should be are the kernel's never.
uint16_t big_endian_16(const nlattr* attribute) {
  return ntohs(mnl_attr_get_u16(attribute));
}
uint32_t big_endian_32(const nlattr* attribute) {
  return ntohl(mnl_attr_get_u32(attribute));
}

void read_tuple(const nlattr* tuple, Endpoint& source, Endpoint& destination, uint8_t& protocol) {
  for_each_nested(tuple, [&](const nlattr* part) {
    for_each_nested(part, [&](const nlattr* attribute) {
      const uint16_t type = mnl_attr_get_type(attribute);
      if (mnl_attr_get_type(part) == CTA_TUPLE_IP) {
        if (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC) source.address = address_text(attribute);
        if (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST) destination.address = address_text(attribute);
      } else if (mnl_attr_get_type(part) == CTA_TUPLE_PROTO) {
        if (type == CTA_PROTO_NUM) protocol = mnl_attr_get_u8(attribute);
        if (type == CTA_PROTO_SRC_PORT) source.port = big_endian_16(attribute);
        if (type == CTA_PROTO_DST_PORT) destination.port = big_endian_16(attribute);
      }
    });
  });
}

uint8_t read_tcp_state(const nlattr* protocol_info) {
  uint8_t state = 0;
  for_each_nested(protocol_info, [&](const nlattr* tcp) {
    for_each_nested(tcp, [&](const nlattr* attribute) {
      if (mnl_attr_get_type(attribute) == CTA_PROTOINFO_TCP_STATE) state = mnl_attr_get_u8(attribute);
    });
  });
  return state;
}

bool living_tcp(uint8_t state) {
  return state == TCP_CONNTRACK_ESTABLISHED || state == TCP_CONNTRACK_FIN_WAIT || state == TCP_CONNTRACK_CLOSE_WAIT ||
         state == TCP_CONNTRACK_LAST_ACK;
}

// Of an entry that is not wanted: protocol 0.
TranslatedConnection parse(const nlmsghdr* message) {
  TranslatedConnection connection;
  uint32_t status = 0;
  for_each_attribute(message, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    uint8_t same = 0;
    switch (mnl_attr_get_type(attribute)) {
      case CTA_TUPLE_ORIG:
        read_tuple(attribute, connection.from, connection.to, connection.protocol);
        break;
      case CTA_TUPLE_REPLY:
        read_tuple(attribute, connection.answers_from, connection.answers_to, same);
        break;
      case CTA_STATUS:
        status = big_endian_32(attribute);
        break;
      case CTA_TIMEOUT:
        connection.timeout_s = big_endian_32(attribute);
        break;
      case CTA_ZONE:
        connection.zone = big_endian_16(attribute);
        break;
      case CTA_PROTOINFO:
        connection.tcp_state = read_tcp_state(attribute);
        break;
      default:
        break;
    }
  });
  connection.assured = (status & IPS_ASSURED) != 0;
  const bool lives = (connection.protocol == IPPROTO_TCP && living_tcp(connection.tcp_state)) ||
                     (connection.protocol == IPPROTO_UDP && (status & IPS_SEEN_REPLY) != 0);
  if (!lives || (status & translated_bits) == 0) connection.protocol = 0;
  return connection;
}

// --- what it is told ---

struct Address {
  std::array<uint8_t, sizeof(in6_addr)> bytes{};
  size_t size = 0;  // 0: it is none
};

Address parse_address(const std::string& text) {
  Address address;
  if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) {
    address.size = sizeof(in_addr);
  } else if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) {
    address.size = sizeof(in6_addr);
  }
  return address;
}

void put_address(nlmsghdr* header, uint16_t type, const std::string& text) {
  const Address address = parse_address(text);
  mnl_attr_put(header, type, address.size, address.bytes.data());
}

bool is_four(const std::string& address) {
  return parse_address(address).size == sizeof(in_addr);
}

void put_tuple(nlmsghdr* header, uint16_t type, const Endpoint& source, const Endpoint& destination, uint8_t protocol) {
  const bool four = is_four(source.address);
  nlattr* tuple = mnl_attr_nest_start(header, type);
  nlattr* addresses = mnl_attr_nest_start(header, CTA_TUPLE_IP);
  put_address(header, four ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, source.address);
  put_address(header, four ? CTA_IP_V4_DST : CTA_IP_V6_DST, destination.address);
  mnl_attr_nest_end(header, addresses);
  nlattr* ports = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
  mnl_attr_put_u8(header, CTA_PROTO_NUM, protocol);
  mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(source.port));
  mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(destination.port));
  mnl_attr_nest_end(header, ports);
  mnl_attr_nest_end(header, tuple);
}

void put_translation(nlmsghdr* header, uint16_t type, const Endpoint& to) {
  const bool four = is_four(to.address);
  nlattr* nest = mnl_attr_nest_start(header, type);
  put_address(header, four ? CTA_NAT_V4_MINIP : CTA_NAT_V6_MINIP, to.address);
  put_address(header, four ? CTA_NAT_V4_MAXIP : CTA_NAT_V6_MAXIP, to.address);
  nlattr* ports = mnl_attr_nest_start(header, CTA_NAT_PROTO);
  mnl_attr_put_u16(header, CTA_PROTONAT_PORT_MIN, htons(to.port));
  mnl_attr_put_u16(header, CTA_PROTONAT_PORT_MAX, htons(to.port));
  mnl_attr_nest_end(header, ports);
  mnl_attr_nest_end(header, nest);
}

// The windows of a connection are not known here, so they are not to be checked.
void put_tcp(nlmsghdr* header, uint8_t state) {
  const nf_ct_tcp_flags liberal{.flags = IP_CT_TCP_FLAG_BE_LIBERAL, .mask = IP_CT_TCP_FLAG_BE_LIBERAL};
  nlattr* info = mnl_attr_nest_start(header, CTA_PROTOINFO);
  nlattr* tcp = mnl_attr_nest_start(header, CTA_PROTOINFO_TCP);
  mnl_attr_put_u8(header, CTA_PROTOINFO_TCP_STATE, state);
  mnl_attr_put(header, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, sizeof liberal, &liberal);
  mnl_attr_put(header, CTA_PROTOINFO_TCP_FLAGS_REPLY, sizeof liberal, &liberal);
  mnl_attr_nest_end(header, tcp);
  mnl_attr_nest_end(header, info);
}

template <size_t Size>
nlmsghdr* start_message(std::array<char, Size>& buffer, int type, int flags, uint8_t family) {
  nlmsghdr* header = mnl_nlmsg_put_header(buffer.data());
  header->nlmsg_type = static_cast<uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
  header->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
  const nfgenmsg about{.nfgen_family = family, .version = NFNETLINK_V0, .res_id = 0};
  std::memcpy(mnl_nlmsg_put_extra_header(header, sizeof about), &about, sizeof about);
  return header;
}

Result<UniqueFd> tracking_socket(const std::string& netns_path) {
  GODWIT_ASSIGN(UniqueFd fd, socket_in(netns_path, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
  const timeval limit{.tv_sec = 5, .tv_usec = 0};
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) != 0) return fail_errno("conntrack");
  return fd;
}

// The entry is made untranslated, and translated by the kernel itself, which would not believe us otherwise.
Result<> write_one(const UniqueFd& fd, const TranslatedConnection& connection) {
  std::array<char, 1024> request{};
  const uint8_t family = is_four(connection.from.address) ? AF_INET : AF_INET6;
  nlmsghdr* header = start_message(request, IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, family);
  put_tuple(header, CTA_TUPLE_ORIG, connection.from, connection.to, connection.protocol);
  put_tuple(header, CTA_TUPLE_REPLY, connection.to, connection.from, connection.protocol);
  if (connection.answers_from != connection.to) put_translation(header, CTA_NAT_DST, connection.answers_from);
  if (connection.answers_to != connection.from) put_translation(header, CTA_NAT_SRC, connection.answers_to);
  mnl_attr_put_u32(header, CTA_TIMEOUT, htonl(connection.timeout_s));
  mnl_attr_put_u32(header, CTA_STATUS, htonl(IPS_SEEN_REPLY | IPS_CONFIRMED | (connection.assured ? IPS_ASSURED : 0U)));
  if (connection.zone != 0) mnl_attr_put_u16(header, CTA_ZONE, htons(connection.zone));
  if (connection.protocol == IPPROTO_TCP) put_tcp(header, connection.tcp_state);
  auto made = acknowledged(fd.get(), header,
                           fmt::format("track a connection from {} port {} to {} port {}", connection.from.address,
                                       connection.from.port, connection.to.address, connection.to.port));
  return made || made.error().code != EEXIST ? made : Result<>{};
}

// --- what goes over the wire ---

json to_json(const Endpoint& endpoint) {
  return {{"address", endpoint.address}, {"port", endpoint.port}};
}

bool read_number(const json& object, const char* name, uint64_t most, auto& number) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_number_unsigned() || at->get<uint64_t>() > most) return false;
  number = static_cast<std::remove_reference_t<decltype(number)>>(at->get<uint64_t>());
  return true;
}

bool read_endpoint(const json& object, const char* name, Endpoint& endpoint) {
  const auto at = object.find(name);
  if (at == object.end() || !at->is_object()) return false;
  const auto address = at->find("address");
  if (address == at->end() || !address->is_string()) return false;
  endpoint.address = address->get<std::string>();
  return parse_address(endpoint.address).size > 0 && read_number(*at, "port", UINT16_MAX, endpoint.port);
}

bool read_connection(const json& object, TranslatedConnection& connection) {
  if (!object.is_object()) return false;
  const bool complete = read_number(object, "protocol", UINT8_MAX, connection.protocol) &&
                        read_endpoint(object, "from", connection.from) && read_endpoint(object, "to", connection.to) &&
                        read_endpoint(object, "answers_from", connection.answers_from) &&
                        read_endpoint(object, "answers_to", connection.answers_to) &&
                        read_number(object, "timeout_s", INT32_MAX, connection.timeout_s) &&
                        read_number(object, "zone", UINT16_MAX, connection.zone) &&
                        read_number(object, "tcp_state", TCP_CONNTRACK_MAX - 1, connection.tcp_state);
  const auto assured = object.find("assured");
  if (assured == object.end() || !assured->is_boolean()) return false;
  connection.assured = assured->get<bool>();
  if (!complete || (connection.protocol != IPPROTO_TCP && connection.protocol != IPPROTO_UDP)) return false;
  const bool four = is_four(connection.from.address);
  return four == is_four(connection.to.address) && four == is_four(connection.answers_from.address) &&
         four == is_four(connection.answers_to.address);
}

}  // namespace

json to_json(const std::vector<TranslatedConnection>& connections) {
  json list = json::array();
  for (const TranslatedConnection& one : connections) {
    list.push_back({{"protocol", one.protocol},
                    {"from", to_json(one.from)},
                    {"to", to_json(one.to)},
                    {"answers_from", to_json(one.answers_from)},
                    {"answers_to", to_json(one.answers_to)},
                    {"timeout_s", one.timeout_s},
                    {"zone", one.zone},
                    {"tcp_state", one.tcp_state},
                    {"assured", one.assured}});
  }
  return list;
}

Result<std::vector<TranslatedConnection>> translated_from_json(const json& source) {
  if (!source.is_array() || source.size() > translated_max) {
    return fail("translated connections: not a list, or one of more than {}", translated_max);
  }
  std::vector<TranslatedConnection> connections(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (!read_connection(source[i], connections[i])) return fail("translated connections: entry {} is malformed", i);
  }
  return connections;
}

Result<std::vector<TranslatedConnection>> read_translated(const std::string& netns_path) {
  GODWIT_ASSIGN(const UniqueFd fd, tracking_socket(netns_path));
  std::array<char, 128> request{};
  const nlmsghdr* header = start_message(request, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC);
  std::vector<TranslatedConnection> connections;
  size_t left_out = 0;
  GODWIT_TRY(for_each_listed(fd.get(), header, "tracked connections", [&](const nlmsghdr* reply) {
    TranslatedConnection connection = parse(reply);
    if (connection.protocol == 0) return;
    if (connections.size() < translated_max) {
      connections.push_back(std::move(connection));
    } else {
      ++left_out;
    }
  }));
  if (left_out > 0) log_warning("{} connections that are translated are left out, and may break", left_out);
  return connections;
}

Result<size_t> write_translated(const std::string& netns_path, const std::vector<TranslatedConnection>& connections) {
  size_t failed = 0;
  if (connections.empty()) return failed;
  GODWIT_ASSIGN(const UniqueFd fd, tracking_socket(netns_path));
  for (const TranslatedConnection& connection : connections) {
    auto written = write_one(fd, connection);
    if (written) continue;
    if (failed++ == 0) log_warning("{}", written.error().message);
  }
  return failed;
}

}  // namespace godwit::network
