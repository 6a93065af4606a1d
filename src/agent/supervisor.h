// The agent's long-running process. It accepts connections, from other agents (TCP) and from the command line (unix
// socket), starts a worker process for each session and hands connections to workers. It holds nothing that a session
// needs: it may be killed and started again at any time. What a dead worker left is finished by a `recover` worker.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/config.h"
#include "agent/pending_peers.h"
#include "agent/session_directory.h"
#include "base/result.h"
#include "os/subprocess.h"
#include "transfer/preamble.h"
#include "transfer/tcp.h"

namespace godwit::agent {

// Owned by main(). run() serves until SIGTERM or SIGINT; connections are served on short-lived threads, bounded in
// number and time.
class Supervisor {
 public:
  Supervisor(AgentConfig config, std::string program) : config_(std::move(config)), program_(std::move(program)) {}
  Result<> run();

 private:
  Result<> listen();
  void accept_loop(int listener, void (Supervisor::*serve)(UniqueFd), int& connections, int connections_max);
  void serve_peer(UniqueFd connection);
  Result<> start_remote_command(const transfer::Preamble& preamble, const UniqueFd& connection,
                                PendingPeers::Place& place);
  void serve_command(UniqueFd connection);
  Result<> route_peer(UniqueFd connection);
  Result<> answer_command(UniqueFd& connection, const std::string& line);
  Result<> start_migration(const MigrateRequest& request, UniqueFd& connection);
  // What a worker is given; still the caller's to close. -1: none.
  struct Descriptors {
    int connection = -1;
    int admission = -1;
  };
  Result<> start_session(const std::string& mode, const std::string& id, const nlohmann::json& about,
                         Descriptors descriptors);
  Result<> start_destination(const transfer::Preamble& preamble, const UniqueFd& connection,
                             PendingPeers::Place& place);
  Result<> reserve_session(const std::string& mode, const std::string& id);
  Result<> admit(const std::string& id);
  Result<> check_room() const;
  Result<> start_answer(const std::string& session, int connection, PendingPeers::Place place);
  Result<os::Subprocess> start_process(const std::string& mode, const std::string& session,
                                       Descriptors descriptors) const;
  Result<> start_worker(const std::string& mode, const std::string& session, Descriptors descriptors);
  bool worker_known(const std::string& session);
  void reap_workers();
  void recover_dead_sessions();

  AgentConfig config_;
  std::string program_;  // this executable, to start workers with
  UniqueFd instance_lock_;
  std::optional<transfer::Listener> peer_listener_;
  UniqueFd command_listener_;

  // A worker that answers one question.
  struct Answer {
    os::Subprocess process;
    PendingPeers::Place place;
  };

  PendingPeers pending_peers_;
  std::mutex mutex_;                               // guards what follows
  std::map<std::string, os::Subprocess> workers_;  // by session
  std::set<std::string> starting_;                 // sessions that are not in workers_ yet, but will be: not dead ones
  std::set<std::string> unadmitted_;               // of both, those whose source has not shown a certificate yet
  std::vector<Answer> answers_;
  std::vector<os::Subprocess> remote_commands_;  // carriers of the controller's orders
  std::map<std::string, Clock::time_point> next_recovery_;
  // Apart, so that the network cannot keep the operator out.
  int peer_connections_ = 0;
  int command_connections_ = 0;
};

}  // namespace godwit::agent
