#include "controller/address_keeper.h"

#include "api/names.h"
#include "base/log.h"
#include "controller/eligibility.h"
#include "controller/pod_assessor.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

// The first has no orders, the second those that follow of its answer, the last shows that they were carried out.
constexpr int questions_max = 3;

}  // namespace

std::vector<std::string> addresses_of(const json& summary) {
  std::vector<std::string> all;
  for (const json& address : summary.value("addresses", json::array())) all.push_back(address.get<std::string>());
  return all;
}

AddressKeeper::AddressKeeper(const kube::Store& nodes, const kube::Store& pods, const AgentLink& link,
                             AddressKeeperOptions options)
    : nodes_(nodes),
      pods_(pods),
      link_(link),
      options_(options),
      loop_("addresses of node",
            [this](const std::string& name, const std::stop_token& stop) { return tend(name, stop); }) {}

// Of interest are pods that are about to have moved, and those that are left when another one with their address goes.
void AddressKeeper::pod_changed(const kube::Change& change) {
  const auto node_of = [](const json& pod) { return kube::text_at(pod, "/spec/nodeName"); };
  for (const kube::Object& state : {change.before, change.now}) {
    if (state != nullptr && is_arriving(*state)) node_changed(node_of(*state));
  }
  if (change.now != nullptr) return;
  for (const std::string& address : addresses_of(*change.before)) {
    for (const kube::Object& other : pods_.find(pods_by_address, address)) node_changed(node_of(*other));
  }
}

Result<> AddressKeeper::tend(const std::string& name, const std::stop_token& stop) {
  const kube::Object node = nodes_.get(name);
  if (node == nullptr) {
    const std::lock_guard lock(mutex_);
    ledger_.forget(name);
    silent_.erase(name);
    return {};
  }
  tend_later(name);
  const NodeAgent agent{.node = name, .address = internal_address(*node)};
  if (agent.address.empty()) return {};
  agent::AddressesRequest orders;
  for (int question = 0; question < questions_max; ++question) {
    const uint64_t begun = begin();
    auto told = ask(agent, orders, stop);
    if (stop.stop_requested()) return {};
    if (!told) {
      note_silence(name, told.error());
      return {};
    }
    orders = take_note(name, std::move(*told), begun);
    if (orders.asks_only()) return {};
    log_info("node {}: {} addresses that no pod has any more, {} routes to change", name, orders.release.size(),
             orders.set_routes.size() + orders.drop_routes.size());
  }
  log_warning("node {} does not do all that it shall with addresses of pods that have moved; its agent's log says why",
              name);
  return {};
}

uint64_t AddressKeeper::begin() {
  const std::lock_guard lock(mutex_);
  return ledger_.begin();
}

void AddressKeeper::tend_later(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const double share = 0.75 + jitter_.next() / 2;
  loop_.queue().add_after(name, std::chrono::duration_cast<Clock::duration>(options_.interval * share));
}

// Most nodes of a cluster may have no agent at all.
void AddressKeeper::note_silence(const std::string& name, const Error& why) {
  const std::lock_guard lock(mutex_);
  if (silent_.insert(name).second) log_info("addresses of node {} are not known: {}", name, why.message);
}

Result<agent::AddressesEvent> AddressKeeper::ask(const NodeAgent& node, const agent::AddressesRequest& orders,
                                                 const std::stop_token& stop) const {
  agent::AddressesEvent told;
  const auto on_event = [&](const agent::Event& event) {
    if (const auto* addresses = std::get_if<agent::AddressesEvent>(&event)) told = *addresses;
  };
  GODWIT_ASSIGN(const agent::ResultEvent result,
                link_.ask(node, orders, on_event, Deadline::after(options_.answer_time), stop));
  if (!result.ok) return fail("{}", result.reason);
  return told;
}

agent::AddressesRequest AddressKeeper::take_note(const std::string& name, agent::AddressesEvent told, uint64_t begun) {
  const auto has_pod = [&](const std::string& address) { return !pods_.find(pods_by_address, address).empty(); };
  const std::set<std::string> awaited = nodes_with_guests();
  const NodeAddresses addresses = node_addresses();
  const std::lock_guard lock(mutex_);
  silent_.erase(name);
  if (ledger_.report(name, std::move(told), begun)) {
    for (const std::string& other : awaited) {
      if (other != name) loop_.queue().add(other);
    }
  }
  AddressLedger::RouteOrders routes = ledger_.routes_for(name, addresses, has_pod);
  return {.release = ledger_.due(name, awaited, has_pod),
          .set_routes = std::move(routes.set),
          .drop_routes = std::move(routes.drop)};
}

NodeAddresses AddressKeeper::node_addresses() const {
  NodeAddresses all;
  for (const kube::Object& node : nodes_.list()) all.emplace(kube::name_of(*node), internal_addresses(*node));
  return all;
}

// A node that is not Ready has them only as far as the API has their pods: who takes a pod from there by force says
// that its containers have ended.
std::set<std::string> AddressKeeper::nodes_with_guests() const {
  std::set<std::string> names;
  for (const kube::Object& node : nodes_.list()) {
    const bool enabled = kube::label_of(*node, api::labels::migration_enabled) == "true";
    if (enabled && is_ready(*node)) names.insert(kube::name_of(*node));
  }
  return names;
}

}  // namespace godwit::controller
