#include "network/moved_routes.h"

#include <algorithm>
#include <set>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "network/address_book.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr auto program_time = std::chrono::seconds(5);

struct Listed {
  HostRoute route;
  std::string interface;
};

Result<std::vector<Listed>> list_routes() {
  std::vector<Listed> all;
  for (const char* family : {"-4", "-6"}) {
    GODWIT_ASSIGN(const std::string text,
                  os::run_checked({.argv = {"ip", "-j", family, "route", "show", "table", "main", "proto",
                                            std::to_string(moved_route_protocol)}},
                                  Deadline::after(program_time)));
    const json routes = text.empty() ? json::array() : json::parse(text, nullptr, false);
    if (!routes.is_array()) return fail("cannot understand the output of ip: {}", text.substr(0, 200));
    for (const json& route : routes) {
      all.push_back({.route = {.address = without_prefix(route.value("dst", "")), .via = route.value("gateway", "")},
                     .interface = route.value("dev", "")});
    }
  }
  return all;
}

// A node that sends a packet back by the way that it came tells the sender of the shorter way, which would outlive the
// next move.
void send_no_redirects(const std::set<std::string>& interfaces) {
  for (const std::string& interface : interfaces) {
    const std::string path = "/proc/sys/net/ipv4/conf/" + interface + "/send_redirects";
    if (auto written = os::write_file(path, "0"); !written) log_warning("{}", written.error().message);
  }
}

// What connection tracking remembers of a pod's connections is old when the pod comes back, and new when it comes: it
// shall not take for forged what it has not followed.
void follow_connections_leniently() {
  const char* path = "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal";
  if (!os::exists(path)) return;  // nothing is followed
  if (auto written = os::write_file(path, "1"); !written) log_warning("{}", written.error().message);
}

// Held while the routes are read and the rules written after them: the agent and its workers do so at any time, and the
// older list must not be written last.
Result<UniqueFd> lock_rules() {
  GODWIT_TRY(os::make_directories("/run/godwit"));
  return os::lock_file("/run/godwit/passing.lock", Deadline::never());
}

std::string elements(const std::vector<Listed>& routes, bool six, const char* set) {
  std::string list;
  for (const Listed& one : routes) {
    if ((one.route.address.find(':') != std::string::npos) != six) continue;
    list += fmt::format("{}\"{}\" . {}", list.empty() ? "" : ", ", one.interface, one.route.address);
  }
  return list.empty() ? "" : fmt::format("add element inet godwit {} {{ {} }}\n", set, list);
}

}  // namespace

Result<std::vector<HostRoute>> moved_routes() {
  GODWIT_ASSIGN(const std::vector<Listed> listed, list_routes());
  std::vector<HostRoute> all;
  for (const Listed& one : listed) all.push_back(one.route);
  return all;
}

Result<> change_moved_routes(const MovedRouteChanges& changes) {
  if (changes.set.empty() && changes.drop.empty()) return {};
  GODWIT_ASSIGN(RouteSocket socket, RouteSocket::open(""));
  GODWIT_ASSIGN(const std::vector<std::string> ours, addresses_of_sandboxes());
  const auto is_ours = [&](const std::string& address) { return std::ranges::count(ours, address) > 0; };
  for (const HostRoute& route : changes.set) {
    if (is_ours(route.address)) continue;
    if (route.via.empty()) return fail("a route to {} that leads nowhere", route.address);
    if (auto set = socket.replace_route(route); !set) log_warning("{}", set.error().message);
  }
  for (const std::string& address : changes.drop) {
    // Of ours only: whoever set another one knows why.
    if (is_ours(address)) continue;
    const HostRoute route{.address = address, .via = address};  // which one does not matter
    if (auto dropped = socket.remove_route(route); !dropped) log_warning("{}", dropped.error().message);
  }
  return exempt_passing_packets();
}

Result<> exempt_passing_packets() {
  GODWIT_ASSIGN(const UniqueFd lock, lock_rules());
  GODWIT_ASSIGN(const std::vector<Listed> routes, list_routes());
  std::set<std::string> interfaces{"all"};
  for (const Listed& one : routes) interfaces.insert(one.interface);
  if (!routes.empty()) send_no_redirects(interfaces);
  follow_connections_leniently();
  const std::string rules = std::string(R"(table inet godwit {
  set passing4 { type ifname . ipv4_addr; }
  set passing6 { type ifname . ipv6_addr; }
  chain passing { type filter hook prerouting priority raw; policy accept; }
}
flush chain inet godwit passing
flush set inet godwit passing4
flush set inet godwit passing6
add rule inet godwit passing iifname . ip daddr @passing4 notrack
add rule inet godwit passing iifname . ip6 daddr @passing6 notrack
)") + elements(routes, false, "passing4") +
                            elements(routes, true, "passing6");
  GODWIT_ASSIGN(const UniqueFd input, os::file_in_memory(rules));
  GODWIT_TRY(
      os::run_checked({.argv = {"nft", "-f", "-"}, .descriptors = {{input.get(), 0}}}, Deadline::after(program_time)));
  return {};
}

}  // namespace godwit::network
