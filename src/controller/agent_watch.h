// Which nodes' agents answer.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "controller/agent_link.h"
#include "controller/node_verdict.h"
#include "kube/backoff.h"

namespace godwit::controller {

struct AgentWatchOptions {
  milliseconds interval = std::chrono::seconds(30);    // between questions to an agent that answers, with jitter
  milliseconds answer_time = std::chrono::seconds(3);  // for one question
  // An agent that has just been restarted is not silent.
  int silent_after = 2;
  // Between questions to one that does not answer.
  kube::BackoffLimits backoff{milliseconds(1000), milliseconds(8000), 0.3};
};

// Any thread may call it, but for one node only one at a time.
class AgentWatch {
 public:
  AgentWatch(const AgentLink& link, AgentWatchOptions options) : link_(link), options_(options) {}

  // Asks the agent, if it is time. Returns when to come again.
  Clock::duration look(const NodeAgent& agent, const std::stop_token& stop);
  // Nothing: not known (yet).
  [[nodiscard]] std::optional<AgentSighting> sighting(const std::string& node) const;
  void forget(const std::string& node);

 private:
  struct Known {
    std::string address;
    std::optional<AgentSighting> sighting;
    int failures = 0;
    Clock::time_point due{};
  };
  Clock::duration note(const NodeAgent& agent, const std::optional<std::string>& trouble);

  const AgentLink& link_;
  const AgentWatchOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, Known> nodes_;
  kube::Jitter jitter_;
};

}  // namespace godwit::controller
