// Labels the nodes that support live migration, and tells node templates what became of their nodes.
#pragma once

#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "controller/agent_watch.h"
#include "controller/work_loop.h"
#include "kube/client.h"
#include "kube/store.h"
#include "transfer/token_bucket.h"

namespace godwit::controller {

// What both assessors use; it outlives them.
struct LabelWriter {
  kube::Client& client;
  transfer::TokenBucket& pace;  // in patches

  // An object that has gone or become another meanwhile needs no label: its change will be seen.
  Result<> write(const kube::ObjectPath& object, const nlohmann::json& patch, const std::stop_token& stop) const;
};

struct NodeAssessorOptions {
  size_t agents_at_once = 32;
  AgentWatchOptions agents;
};

// Any thread may call it; the stores are those of informers, and outlive it.
class NodeAssessor {
 public:
  NodeAssessor(const LabelWriter& writer, const kube::Store& nodes, const kube::Store& templates, const AgentLink& link,
               NodeAssessorOptions options);

  void node_changed(const std::string& name) { node_loop_.queue().add(name); }
  void template_changed(const std::string& name);
  // Once the stores are complete.
  void start();
  void stop();

 private:
  Result<> assess_node(const std::string& name, const std::stop_token& stop);
  Result<> assess_template(const std::string& name, const std::stop_token& stop);
  void remember(const std::string& name, const std::optional<NodeVerdict>& verdict);
  [[nodiscard]] std::vector<api::NodeTemplateSpec> specs() const;
  [[nodiscard]] std::vector<JudgedNode> nodes_of(const api::NodeTemplateSpec& spec) const;

  const LabelWriter& writer_;
  const kube::Store& nodes_;
  const kube::Store& templates_;
  const NodeAssessorOptions options_;
  AgentWatch agents_;
  mutable std::mutex mutex_;
  std::map<std::string, NodeVerdict> verdicts_;
  WorkLoop node_loop_;
  WorkLoop template_loop_;
};

}  // namespace godwit::controller
