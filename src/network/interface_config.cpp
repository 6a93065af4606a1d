#include "network/interface_config.h"

#include <net/if.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "network/route_socket.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

using nlohmann::json;

constexpr size_t list_length_max = 64;

Result<json> ip_json(const std::string& netns_path, std::vector<std::string> words) {
  words.insert(words.begin(), {"ip", "-j"});
  GODWIT_ASSIGN(const std::string text, os::run_checked({.argv = words, .network_namespace = netns_path},
                                                        Deadline::after(std::chrono::seconds(5))));
  if (text.empty()) return json::array();
  json parsed = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!parsed.is_array()) return fail("cannot understand the output of ip: {}", text.substr(0, 200));
  return parsed;
}

Result<> read_addresses(const json& link, InterfaceConfig& config) {
  for (const json& address : link.value("addr_info", json::array())) {
    if (address.value("scope", "") != "global") continue;
    config.addresses.push_back(fmt::format("{}/{}", address.value("local", ""), address.value("prefixlen", 32)));
  }
  if (config.addresses.empty()) return fail("interface {} of the container has no address", config.name);
  return {};
}

Result<> read_routes(const std::string& netns_path, const char* family, InterfaceConfig& config) {
  GODWIT_ASSIGN(const json routes, ip_json(netns_path, {family, "route", "show", "dev", config.name}));
  for (const json& route : routes) {
    std::string words = route.value("dst", "default");
    if (route.value("protocol", "") == "kernel") {  // comes with the address, or with the interface
      if (!words.starts_with("fe80:")) config.prefix_routes = true;
      continue;
    }
    if (route.contains("gateway")) words += " via " + route.value("gateway", "");
    if (route.contains("prefsrc")) words += " src " + route.value("prefsrc", "");
    if (route.contains("scope")) words += " scope " + route.value("scope", "");
    if (route.contains("metric")) words += fmt::format(" metric {}", route.value("metric", 0));
    const json flags = route.value("flags", json::array());
    if (std::find(flags.begin(), flags.end(), "onlink") != flags.end()) words += " onlink";
    config.routes.insert(words.contains(" via ") ? config.routes.end() : config.routes.begin(), words);
  }
  return {};
}

Result<std::string> bridge_of(const std::string& host_interface) {
  GODWIT_ASSIGN(const json links, ip_json("", {"link", "show", "dev", host_interface}));
  return links.empty() ? "" : links[0].value("master", "");
}

bool safe_word(const std::string& text, const char* extra) {
  return !text.empty() && text.size() <= 128 && text[0] != '-' && std::all_of(text.begin(), text.end(), [&](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view(extra).find(c) != std::string_view::npos;
  });
}

bool interface_name(const std::string& text) {
  return safe_word(text, "._-@") && text.size() < IFNAMSIZ;
}

}  // namespace

Result<InterfaceConfig> read_interface(const std::string& netns_path) {
  GODWIT_ASSIGN(const json links, ip_json(netns_path, {"addr", "show"}));
  InterfaceConfig config;
  for (const json& link : links) {
    if (link.value("link_type", "") == "loopback") continue;
    const std::string name = link.value("ifname", "");
    // Kernels make idle fallback devices of some tunnel kinds in each namespace; only what is up counts.
    const json flags = link.value("flags", json::array());
    if (std::find(flags.begin(), flags.end(), "UP") == flags.end()) continue;
    if (!config.name.empty()) {
      return fail("the container has more than one network interface ({}, {}); only one can be moved", config.name,
                  name);
    }
    config.name = name;
    config.mac = link.value("address", "");
    config.mtu = link.value("mtu", 1500);
    GODWIT_TRY(read_addresses(link, config));
    GODWIT_ASSIGN(RouteSocket inside, RouteSocket::open(netns_path));
    GODWIT_ASSIGN(const LinkInfo info, inside.link(name));
    GODWIT_ASSIGN(RouteSocket outside, RouteSocket::open(""));
    if (auto peer = outside.link(info.peer_index); peer && info.kind == "veth") {
      GODWIT_ASSIGN(config.bridge, bridge_of(peer->name));
    }
  }
  if (config.name.empty()) return fail("the container has no network interface that is up");
  config.prefix_routes = false;
  GODWIT_TRY(read_routes(netns_path, "-4", config));
  GODWIT_TRY(read_routes(netns_path, "-6", config));
  return config;
}

json to_json(const InterfaceConfig& config) {
  return {{"name", config.name},           {"mac", config.mac},       {"mtu", config.mtu},
          {"addresses", config.addresses}, {"routes", config.routes}, {"prefix_routes", config.prefix_routes},
          {"bridge", config.bridge}};
}

Result<InterfaceConfig> interface_from_json(const json& source) {
  InterfaceConfig config;
  try {
    config.name = source.at("name").get<std::string>();
    config.mac = source.at("mac").get<std::string>();
    config.mtu = source.at("mtu").get<int>();
    config.addresses = source.at("addresses").get<std::vector<std::string>>();
    config.routes = source.at("routes").get<std::vector<std::string>>();
    config.prefix_routes = source.value("prefix_routes", true);
    config.bridge = source.at("bridge").get<std::string>();
  } catch (const json::exception& error) {
    return fail("network configuration: {}", error.what());
  }
  if (!interface_name(config.name)) return fail("network configuration: bad interface name '{}'", config.name);
  if (!config.bridge.empty() && !interface_name(config.bridge)) return fail("network configuration: bad bridge name");
  if (!safe_word(config.mac, ":")) return fail("network configuration: bad MAC address '{}'", config.mac);
  if (config.mtu < 68 || config.mtu > 65535) return fail("network configuration: MTU {} is out of range", config.mtu);
  if (config.addresses.size() > list_length_max || config.routes.size() > list_length_max) {
    return fail("network configuration: more than {} addresses or routes", list_length_max);
  }
  for (const std::string& address : config.addresses) {
    if (!safe_word(address, ".:/")) return fail("network configuration: bad address '{}'", address);
  }
  for (const std::string& route : config.routes) {
    if (!safe_word(route, ".:/ ")) return fail("network configuration: bad route '{}'", route);
  }
  return config;
}

}  // namespace godwit::network
