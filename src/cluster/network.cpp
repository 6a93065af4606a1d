#include "cluster/network.h"

#include <nlohmann/json.hpp>

#include "cluster/layout.h"

namespace godwit::cluster {
namespace {

using nlohmann::json;

constexpr const char* flat_configuration_path = "/etc/cni/net.d/10-flat.conflist";

// Pods are ports of the node's bridge, on which its cable is, too. The node lets its gateway's address be asked for
// from its own pods only (network_script()), so a pod always goes through the node that it is on.
std::string flat_configuration(const ClusterPlan& plan, int index) {
  json ranges = json::array({json::array({{{"subnet", flat_pod_range},
                                           {"rangeStart", fmt::format("10.88.{}.1", index)},
                                           {"rangeEnd", fmt::format("10.88.{}.254", index)},
                                           {"gateway", flat_gateway}}})});
  json routes = json::array({{{"dst", "0.0.0.0/0"}}});
  if (plan.dual_stack) {
    ranges.push_back(json::array({{{"subnet", flat_pod_range_v6},
                                   {"rangeStart", fmt::format("fd88::{:x}:1", index)},
                                   {"rangeEnd", fmt::format("fd88::{:x}:ffff", index)},
                                   {"gateway", flat_gateway_v6}}}));
    routes.push_back({{"dst", "::/0"}});
  }
  const json bridge = {{"type", "bridge"},
                       {"bridge", "br0"},
                       {"hairpinMode", true},
                       {"ipam", {{"type", "host-local"}, {"ranges", ranges}, {"routes", routes}}}};
  const json port_map = {{"type", "portmap"}, {"capabilities", {{"portMappings", true}}}};
  const json text = {{"cniVersion", "1.0.0"}, {"name", "flat"}, {"plugins", json::array({bridge, port_map})}};
  return text.dump(2) + "\n";
}

// A cable from each pod to the node, no bridge. In Go's template language, see containerd's documentation.
constexpr const char* routed_template = R"({
  "cniVersion": "1.0.0",
  "name": "routed",
  "plugins": [
    {
      "type": "ptp",
      "ipam": {
        "type": "host-local",
        "ranges": [{{range $i, $range := .PodCIDRRanges}}{{if $i}}, {{end}}[{"subnet": "{{$range}}"}]{{end}}],
        "routes": [{{range $i, $route := .Routes}}{{if $i}}, {{end}}{"dst": "{{$route}}"}{{end}}]
      }
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
)";

}  // namespace

File network_file(const ClusterPlan& plan, int index) {
  if (plan.network == NetworkMode::flat) return {flat_configuration_path, flat_configuration(plan, index)};
  return {cni_template_path, routed_template};
}

std::string network_script(const ClusterPlan& plan, int index) {
  // Bridges are switches, no more. (With this on, what a Service sends back out of the cable that it came in by is
  // lost.)
  std::string script = R"(
for family in iptables ip6tables; do
  [ ! -e /proc/sys/net/bridge/bridge-nf-call-$family ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-$family
done
)";
  if (plan.dual_stack) {
    const char* bridge = index == control_plane ? "lab0" : "br0";
    script += fmt::format(
        "for i in all default {0}; do echo 0 >/proc/sys/net/ipv6/conf/$i/disable_ipv6; done\n"
        "echo 1 >/proc/sys/net/ipv6/conf/all/forwarding\n"
        "ip address replace {1}/64 dev {0} nodad\n",
        bridge, place_address_v6(index));
  }
  if (index == control_plane) return script;
  script += "echo 1 >/proc/sys/net/ipv4/ip_forward\n";
  if (plan.network == NetworkMode::routed) return script;
  script += fmt::format(R"(
ip address replace {0}/16 dev br0
nft -f - <<END
table netdev gateway {{}}
delete table netdev gateway
table netdev gateway {{
  chain cable {{
    type filter hook ingress device "uplink" priority 0;
    arp daddr ip {0} drop
    icmpv6 type nd-neighbor-solicit icmpv6 taddr {1} drop
  }}
}}
END
)",
                        flat_gateway, flat_gateway_v6);
  if (plan.dual_stack) {
    script += fmt::format("ip address replace {}/64 dev br0 nodad\n", flat_gateway_v6);
  }
  return script;
}

Result<std::vector<std::vector<std::string>>> route_commands(const json& nodes, int place) {
  std::vector<std::vector<std::string>> commands;
  for (const json& node : nodes.at("items")) {
    if (node.at("metadata").at("name") == lab::place_name(place)) continue;
    const json ranges = node.at("spec").value("podCIDRs", json::array());
    if (ranges.empty()) return fail("{} has no range for its pods yet", node.at("metadata").at("name").dump());
    for (const std::string range : ranges) {
      for (const json& address : node.at("status").at("addresses")) {
        const std::string via = address.at("address");
        const bool same_family = via.contains(':') == range.contains(':');
        if (address.at("type") != "InternalIP" || !same_family) continue;
        commands.push_back({"ip", "route", "replace", range, "via", via});
      }
    }
  }
  return commands;
}

}  // namespace godwit::cluster
