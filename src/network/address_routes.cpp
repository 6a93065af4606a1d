#include "network/address_routes.h"

#include <algorithm>
#include <cerrno>
#include <set>
#include <sstream>

#include "base/log.h"
#include "network/address_book.h"
#include "network/neighbours.h"
#include "os/file.h"
#include "os/subprocess.h"

#include <nlohmann/json.hpp>

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr auto ip_time = std::chrono::seconds(5);

bool is_six(const std::string& address) {
  return address.find(':') != std::string::npos;
}

const char* family_option(const std::string& address) {
  return is_six(address) ? "-6" : "-4";
}

Result<json> ask_ip(std::vector<std::string> words) {
  words.insert(words.begin(), {"ip", "-j"});
  GODWIT_ASSIGN(const std::string text, os::run_checked({.argv = std::move(words)}, Deadline::after(ip_time)));
  json answer = text.empty() ? json::array() : json::parse(text, nullptr, false);
  if (!answer.is_array()) return fail("cannot understand the output of ip: {}", text.substr(0, 200));
  return answer;
}

std::unexpected<Error> cannot_be_kept(std::string reason) {
  return std::unexpected(Error{std::move(reason), EHOSTUNREACH});
}

Result<> check_reachable(const std::string& node) {
  GODWIT_ASSIGN(const json found, ask_ip({family_option(node), "route", "get", node}));
  if (!found.empty() && !found[0].contains("gateway")) return {};
  return cannot_be_kept(fmt::format(
      "node {} is not in this node's own segment: a router between the two would send the pod's packets home", node));
}

// The word behind "via".
std::string gateway_of(const std::string& route) {
  std::istringstream words(route);
  for (std::string word; words >> word;) {
    if (word == "via" && words >> word) return word;
  }
  return "";
}

}  // namespace

bool reached_by_routes(const std::string& host_interface) {
  return !os::exists("/sys/class/net/" + host_interface + "/brport");
}

Result<std::vector<HostRoute>> routes_to(const std::vector<std::string>& addresses,
                                         const std::vector<std::string>& nodes) {
  std::vector<HostRoute> routes;
  for (const std::string& address : addresses) {
    HostRoute route{.address = without_prefix(address), .via = ""};
    for (const std::string& node : nodes) {
      if (is_six(node) == is_six(address) && route.via.empty()) route.via = node;
    }
    if (route.via.empty()) {
      return cannot_be_kept(fmt::format("the other node has no address by which {} could be reached there", address));
    }
    GODWIT_TRY(check_reachable(route.via));
    routes.push_back(std::move(route));
  }
  return routes;
}

Result<AddressRoutes> AddressRoutes::open(const InterfaceConfig& pod, const std::string& host_interface) {
  GODWIT_ASSIGN(RouteSocket socket, RouteSocket::open(""));
  GODWIT_ASSIGN(const LinkInfo link, socket.link(host_interface));
  std::vector<HostRoute> before;
  for (const std::string& address : pod.addresses) {
    const std::string bare = without_prefix(address);
    GODWIT_ASSIGN(const json found, ask_ip({family_option(bare), "route", "show", "exact", bare, "proto",
                                            std::to_string(moved_route_protocol)}));
    if (!found.empty()) before.push_back({.address = bare, .via = found[0].value("gateway", "")});
  }
  return AddressRoutes(std::move(socket), pod, host_interface, link, std::move(before));
}

Result<> AddressRoutes::lead_to_pod() {
  json known = json::array();
  for (const std::string& address : pod_.addresses) {
    const std::string bare = without_prefix(address);
    GODWIT_TRY(socket_.replace_route({.address = bare, .via = "", .interface = link_.index}));
    known.push_back({{"address", bare}, {"mac", pod_.mac}});
  }
  GODWIT_ASSIGN(const std::vector<Neighbour> neighbours, neighbours_from_json(known));
  GODWIT_ASSIGN(NeighbourTable table, NeighbourTable::open("", host_interface_));
  return table.write(neighbours);
}

Result<> AddressRoutes::lead_to(const std::vector<HostRoute>& routes) {
  for (const HostRoute& route : routes) GODWIT_TRY(socket_.replace_route(route));
  return {};
}

Result<> AddressRoutes::lead_back() {
  for (const std::string& address : pod_.addresses) {
    const std::string bare = without_prefix(address);
    const auto old = std::ranges::find(before_, bare, &HostRoute::address);
    if (old != before_.end()) {
      GODWIT_TRY(socket_.replace_route(*old));
    } else {
      GODWIT_TRY(socket_.remove_route({.address = bare, .via = "", .interface = link_.index}));
    }
  }
  return {};
}

Result<> answer_for_gateways(const std::string& host_interface, const InterfaceConfig& pod) {
  std::set<std::string> gateways;
  for (const std::string& route : pod.routes) {
    if (std::string gateway = gateway_of(route); !gateway.empty()) gateways.insert(std::move(gateway));
  }
  const auto set = [&](const char* family, const char* kind, const char* name, const char* value) {
    const std::string path = fmt::format("/proc/sys/net/{}/{}/{}/{}", family, kind, host_interface, name);
    if (!os::exists(path)) return;  // a kernel without that family
    if (auto written = os::write_file(path, value); !written) log_warning("{}", written.error().message);
  };
  set("ipv4", "neigh", "proxy_delay", "0");
  set("ipv6", "neigh", "proxy_delay", "0");
  set("ipv6", "conf", "proxy_ndp", "1");
  for (const std::string& gateway : gateways) {
    GODWIT_TRY(os::run_checked(
        {.argv = {"ip", family_option(gateway), "neigh", "replace", "proxy", gateway, "dev", host_interface}},
        Deadline::after(ip_time)));
  }
  return {};
}

}  // namespace godwit::network
