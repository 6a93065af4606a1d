#include "cni/plugin.h"

#include "agent/network_mode.h"
#include "agent/pod_claim.h"
#include "base/deadline.h"
#include "network/address_book.h"
#include "network/address_routes.h"
#include "network/gate.h"
#include "network/plugin_call.h"
#include "network/prefix.h"
#include "network/readdress.h"
#include "os/subprocess.h"

namespace godwit::cni {
namespace {

using nlohmann::json;

constexpr auto delegate_time = std::chrono::seconds(60);
constexpr auto session_time = std::chrono::seconds(60);
constexpr auto refusal_time = std::chrono::seconds(2);
constexpr auto interface_time = std::chrono::seconds(5);
constexpr const char* annotations_key = "io.kubernetes.cri.pod-annotations";

network::PluginCall delegate_call(const Call& call, const json& config) {
  return {.command = call.command,
          .container_id = call.container_id,
          .netns = call.netns,
          .interface = call.interface,
          .arguments = call.arguments,
          .path = call.path,
          .config = config};
}

// The delegate's network for a pod that has its first packet to send when its session says so.
Result<std::string> take_over(const Call& call, const json& told, const std::string& output) {
  const json result = json::parse(output, nullptr, false);
  if (!result.is_object()) return fail("the delegate's result is not JSON: {}", output.substr(0, 200));
  GODWIT_ASSIGN(network::InterfaceConfig interface, network::interface_from_json(told));
  if (interface.name != call.interface) return fail("the container's interface is called {}", interface.name);
  GODWIT_ASSIGN(network::Gate gate, network::Gate::open(call.netns, call.interface));
  GODWIT_TRY(gate.close_outgoing());
  const auto mode = agent::network_mode_from(told.value("network", ""));
  if (!mode) return fail("the session does not say what shall become of the address");
  const bool routed = network::reached_by_routes(gate.host_interface());
  const auto fits = check_address_fits(interface, result, routed);
  if (*mode == agent::NetworkMode::reconnect || (!fits && *mode == agent::NetworkMode::automatic)) return output;
  GODWIT_TRY(fits);
  GODWIT_TRY(network::welcome_guest(call.container_id,
                                    {.netns = call.netns, .addresses = interface.addresses, .routed = routed}));
  GODWIT_TRY(network::readdress(call.netns, interface));
  if (routed) GODWIT_TRY(network::answer_for_gateways(gate.host_interface(), interface));
  return with_address(result, interface, call.interface).dump();
}

Result<std::string> take_over_for(const Call& call, const std::string& session, const std::string& output) {
  GODWIT_ASSIGN(const json told, agent::ask_interface(session, Deadline::after(session_time)));
  auto taken = take_over(call, told, output);
  if (!taken) agent::tell_refusal(session, taken.error().message, Deadline::after(refusal_time));
  return taken;
}

Result<std::string> add(const Call& call, const json& config, const json& delegate) {
  const network::PluginCall to_delegate = delegate_call(call, delegate);
  GODWIT_ASSIGN(std::string output, network::call_plugin(to_delegate, Deadline::after(delegate_time)));
  const json runtime = config.value("runtimeConfig", json::object());
  const std::string session = runtime.value(annotations_key, json::object()).value(agent::restore_annotation, "");
  if (session.empty()) return output;
  auto moved = take_over_for(call, session, output);
  if (moved) return moved;
  // The engine removes what a failed ADD has made, but only what it was told of.
  network::PluginCall undo = to_delegate;
  undo.command = "DEL";
  const auto undone = network::call_plugin(undo, Deadline::after(delegate_time));
  if (!undone) moved.error().message += "; " + undone.error().message;
  if (auto dismissed = network::dismiss_guest(call.container_id); !dismissed) {
    moved.error().message += "; " + dismissed.error().message;
  }
  return moved;
}

Result<std::string> remove(const Call& call, const json& delegate) {
  GODWIT_ASSIGN(const bool later, network::put_off(delegate_call(call, delegate)));
  if (later) {
    // The delegate would have removed it. It may have gone already, and its network, too.
    if (!call.netns.empty()) {
      [[maybe_unused]] const auto removed =
          os::run({.argv = {"ip", "link", "del", call.interface}, .network_namespace = call.netns},
                  Deadline::after(interface_time));
    }
    return "";
  }
  GODWIT_ASSIGN(std::string output,
                network::call_plugin(delegate_call(call, delegate), Deadline::after(delegate_time)));
  GODWIT_TRY(network::dismiss_guest(call.container_id));
  return output;
}

}  // namespace

Result<json> delegate_config(const json& config) {
  if (!config.contains("delegate") || !config["delegate"].is_object()) {
    return fail("godwit-cni needs the network's own plugin as its \"delegate\"");
  }
  json delegate = config["delegate"];
  for (const char* name : {"cniVersion", "name", "prevResult", "runtimeConfig"}) {
    if (config.contains(name)) delegate[name] = config[name];
  }
  return delegate;
}

Result<> check_address_fits(const network::InterfaceConfig& interface, const json& result, bool routed) {
  if (interface.bridge.empty() != routed) {
    return fail("the pod is {} of its node, and would be {} of this one: its address cannot go along",
                routed ? "at a bridge" : "no port of a bridge", routed ? "no port of a bridge" : "at a bridge");
  }
  for (const std::string& address : interface.addresses) {
    std::string own;
    for (const json& ip : result.value("ips", json::array())) {
      if (network::same_family(ip.value("address", ""), address)) own = ip.value("address", "");
    }
    if (own.empty()) return fail("pods of this node have no address of the family of {}", address);
    if (routed || network::same_network(own, address)) continue;
    return fail("{} is not of the network of the pods of this node, which have addresses like {}", address, own);
  }
  return {};
}

json with_address(json result, const network::InterfaceConfig& interface, const std::string& interface_name) {
  size_t index = 0;
  json& interfaces = result["interfaces"];
  for (size_t i = 0; i < interfaces.size(); ++i) {
    if (interfaces[i].value("name", "") != interface_name || interfaces[i].value("sandbox", "").empty()) continue;
    interfaces[i]["mac"] = interface.mac;
    index = i;
  }
  const json before = result.value("ips", json::array());
  json ips = json::array();
  for (const std::string& address : interface.addresses) {
    json entry = {{"address", address}, {"interface", index}};
    const bool six = address.find(':') != std::string::npos;
    for (const json& old : before) {
      const bool old_six = old.value("address", "").find(':') != std::string::npos;
      if (old_six == six && old.contains("gateway")) entry["gateway"] = old["gateway"];
    }
    ips.push_back(entry);
  }
  result["ips"] = ips;
  return result;
}

Result<std::string> run(const Call& call, const std::string& input) {
  if (call.command == "VERSION") {
    return json{{"cniVersion", "1.0.0"}, {"supportedVersions", {"0.3.1", "0.4.0", "1.0.0"}}}.dump();
  }
  const json config = json::parse(input, nullptr, false);
  if (!config.is_object()) return fail("the network configuration is not JSON");
  GODWIT_ASSIGN(const json delegate, delegate_config(config));
  if (call.command == "ADD") return add(call, config, delegate);
  if (call.command == "DEL") return remove(call, delegate);
  return network::call_plugin(delegate_call(call, delegate), Deadline::after(delegate_time));
}

}  // namespace godwit::cni
