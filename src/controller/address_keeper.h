// Sees to the addresses of pods that live on another node than the one that gave them out: asks the agents which they
// keep for such pods and which their own pods brought along, has those given back that nobody has any more, and has all
// nodes know the way to the others. Nothing of it is written down: what is so is asked for.
#pragma once

#include <mutex>
#include <set>
#include <stop_token>
#include <string>

#include "controller/address_ledger.h"
#include "controller/agent_link.h"
#include "controller/work_loop.h"
#include "kube/backoff.h"
#include "kube/informer.h"

namespace godwit::controller {

struct AddressKeeperOptions {
  milliseconds interval = std::chrono::seconds(60);    // between questions to an agent, with jitter
  milliseconds answer_time = std::chrono::seconds(5);  // for one question
  size_t agents_at_once = 16;
};

inline constexpr const char* pods_by_address = "address";
// Index function: of a pod that was summarized.
std::vector<std::string> addresses_of(const nlohmann::json& summary);

// Any thread may call it; the stores are those of informers, and outlive it. That of pods has the index
// pods_by_address.
class AddressKeeper {
 public:
  AddressKeeper(const kube::Store& nodes, const kube::Store& pods, const AgentLink& link, AddressKeeperOptions options);

  void node_changed(const std::string& name) { loop_.queue().add(name); }
  void pod_changed(const kube::Change& change);
  // Once the stores are complete.
  void start() { loop_.start(options_.agents_at_once); }
  void stop() { loop_.stop(); }

 private:
  Result<> tend(const std::string& name, const std::stop_token& stop);
  Result<agent::AddressesEvent> ask(const NodeAgent& node, const agent::AddressesRequest& orders,
                                    const std::stop_token& stop) const;
  // Puts down what was told, and makes the next orders of it.
  agent::AddressesRequest take_note(const std::string& name, agent::AddressesEvent told, uint64_t begun);
  uint64_t begin();
  void tend_later(const std::string& name);
  void note_silence(const std::string& name, const Error& why);
  [[nodiscard]] std::set<std::string> nodes_with_guests() const;
  [[nodiscard]] NodeAddresses node_addresses() const;

  const kube::Store& nodes_;
  const kube::Store& pods_;
  const AgentLink& link_;
  const AddressKeeperOptions options_;
  std::mutex mutex_;  // guards the next three
  AddressLedger ledger_;
  std::set<std::string> silent_;  // nodes whose agent did not answer last time
  kube::Jitter jitter_;
  WorkLoop loop_;
};

}  // namespace godwit::controller
