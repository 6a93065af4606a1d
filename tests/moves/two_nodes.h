// Two nodes (or more) of a lab with an agent each, for tests that move real containers between them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/events.h"
#include "agent/requests.h"
#include "base/deadline.h"
#include "base/result.h"
#include "lab/container.h"
#include "lab/lab.h"
#include "os/subprocess.h"

namespace godwit::moves {

// A migration under way: its events are collected by a thread of its own until the result is there.
class Move {
 public:
  Move(std::string socket, agent::MigrateRequest request, Deadline deadline);
  ~Move();
  Move(const Move&) = delete;
  Move& operator=(const Move&) = delete;

  // Waits until the phase has begun; an error if the move ends or the deadline passes before.
  Result<> wait_for_phase(agent::Phase phase, Deadline deadline);
  Result<> wait_for_round(uint64_t round, Deadline deadline);
  // The session's id; empty before the agent has told it.
  [[nodiscard]] std::string session() const;
  // Error: the agent went away before it told the outcome, or the deadline passed.
  Result<agent::ResultEvent> result();
  [[nodiscard]] std::vector<agent::Event> events() const;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;
  std::thread thread_;
};

// Owned by one test, used by one thread. Everything ends with it. Agents log to a folder that is kept and named if the
// test has failed.
class TwoNodes {
 public:
  static Result<std::unique_ptr<TwoNodes>> start(int nodes = 2) { return start(lab::LabOptions{.nodes = nodes}); }
  static Result<std::unique_ptr<TwoNodes>> start(const lab::LabOptions& options);
  ~TwoNodes();
  TwoNodes(const TwoNodes&) = delete;
  TwoNodes& operator=(const TwoNodes&) = delete;

  Result<> start_agent(int node, const std::vector<std::string>& arguments = {},
                       const std::vector<std::string>& environment = {});
  // SIGKILL, to the supervisor alone: its workers live on.
  Result<> kill_agent(int node);
  // SIGKILL to all workers of a session; false if there is none.
  Result<bool> kill_worker(int node, const std::string& session) { return signal_worker(node, session, "KILL"); }
  // Another signal, by its name for kill(1).
  Result<bool> signal_worker(int node, const std::string& session, const std::string& signal);

  [[nodiscard]] lab::Lab& lab() { return lab_; }
  [[nodiscard]] const lab::Node& node(int index) const { return lab_.node(index); }
  [[nodiscard]] const lab::Node& outside() const { return lab_.outside(); }
  [[nodiscard]] std::string agent_socket(int node) const;

  [[nodiscard]] std::unique_ptr<Move> begin_move(const std::string& container, int from, int to,
                                                 const agent::MigrateOptions& options = {});
  // begin_move() and its result.
  Result<agent::ResultEvent> move(const std::string& container, int from, int to,
                                  const agent::MigrateOptions& options = {});
  Result<agent::ResultEvent> cancel(int node, const std::string& session);
  Result<agent::ResultEvent> abandon(int node, const std::string& session, bool keep);
  // How a session ended on a node, asked for until it has: also after its worker or agent was killed. Error: the node
  // knows no such session, or the deadline passed.
  Result<agent::ResultEvent> outcome(int node, const std::string& session, Deadline deadline) const;
  [[nodiscard]] std::vector<agent::SessionInfo> sessions(int node) const;
  [[nodiscard]] std::vector<agent::ContainerInfo> containers(int node) const;
  // "running", "paused" (frozen) or empty: what runc of the node knows of the container.
  [[nodiscard]] std::string state_of(const std::string& container, int node) const;
  // What a container has left on a node: processes, runc's state, network namespace, mounts, cgroups. Empty: nothing.
  [[nodiscard]] std::vector<std::string> traces_of(const std::string& container, int node) const;
  // The same when it has become nothing, or after some seconds: nodes clear up at their own pace.
  [[nodiscard]] std::vector<std::string> lasting_traces_of(const std::string& container, int node) const;
  [[nodiscard]] std::string log_of(int node) const;

 private:
  TwoNodes(lab::Lab lab, std::string folder) : lab_(std::move(lab)), folder_(std::move(folder)) {}

  lab::Lab lab_;
  std::string folder_;
  std::map<int, os::Subprocess> agents_;
};

constexpr auto move_time = std::chrono::seconds(60);

}  // namespace godwit::moves
