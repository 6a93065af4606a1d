#include "controller/agent_watch.h"

namespace godwit::controller {

Clock::duration AgentWatch::look(const NodeAgent& agent, const std::stop_token& stop) {
  {
    const std::lock_guard lock(mutex_);
    Known& known = nodes_[agent.node];
    if (known.address != agent.address) known = {.address = agent.address, .sighting = std::nullopt};
    if (const auto now = Clock::now(); now < known.due) return known.due - now;
  }
  const auto answer = link_.tell(agent, agent::SessionsRequest{}, Deadline::after(options_.answer_time), stop);
  if (stop.stop_requested()) return options_.interval;
  std::optional<std::string> trouble;
  if (!answer) trouble = answer.error().message;
  if (answer && !answer->ok) trouble = answer->reason;
  return note(agent, trouble);
}

Clock::duration AgentWatch::note(const NodeAgent& agent, const std::optional<std::string>& trouble) {
  const std::lock_guard lock(mutex_);
  Known& known = nodes_[agent.node];
  Clock::duration wait{};
  if (trouble) {
    ++known.failures;
    if (known.failures >= options_.silent_after) known.sighting = AgentSighting{.answers = false, .why = *trouble};
    wait = kube::backoff_delay(options_.backoff, known.failures - 1, jitter_.next());
  } else {
    known.failures = 0;
    known.sighting = AgentSighting{.answers = true, .why = ""};
    // From three quarters to five quarters of it, so that not all are asked at once.
    wait = std::chrono::duration_cast<Clock::duration>(options_.interval * (0.75 + jitter_.next() / 2));
  }
  known.due = Clock::now() + wait;
  return wait;
}

std::optional<AgentSighting> AgentWatch::sighting(const std::string& node) const {
  const std::lock_guard lock(mutex_);
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? std::nullopt : at->second.sighting;
}

void AgentWatch::forget(const std::string& node) {
  const std::lock_guard lock(mutex_);
  nodes_.erase(node);
}

}  // namespace godwit::controller
