// One session's source: drives the source machine, executes its effects on a real container, or on all of a pod's as if
// they were one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/config.h"
#include "agent/container_lock.h"
#include "agent/effect_runner.h"
#include "agent/event_log.h"
#include "agent/lane_sink.h"
#include "agent/mailbox.h"
#include "agent/peer_link.h"
#include "agent/requests.h"
#include "agent/session_directory.h"
#include "agent/source_container.h"
#include "agent/source_copy.h"
#include "agent/source_hold.h"
#include "agent/source_record.h"
#include "agent/thread_bound.h"
#include "agent/timeline.h"
#include "criu/dump.h"
#include "migration/source_machine.h"
#include "network/translated_connections.h"

namespace godwit::agent {

// Owned by main() of a worker process. run() drives the machine on the calling thread; effects run one at a time on a
// thread of EffectRunner, the link and the inbox post into the mailbox from theirs.
class SourceWorker {
 public:
  // `request` is empty in a recovery, `record` otherwise.
  SourceWorker(AgentConfig config, SessionDirectory session, std::unique_ptr<EventLog> events)
      : config_(std::move(config)), session_(std::move(session)), events_(std::move(events)) {}
  ~SourceWorker();

  // From the request to the end of the session.
  Result<> migrate(const MigrateRequest& request);
  // Finishes what a dead worker left. `record`: what it wrote, if it came to that.
  Result<> recover(const std::optional<SourceRecord>& record);

 private:
  using Kind = migration::SourceEventKind;

  void drive(migration::SourceEvent first);
  void execute(const migration::SourceEffect& effect);
  void run_effect(Kind done, std::function<Result<>()> effect, int repeat_key = 0);
  void send(migration::MessageKind kind);
  void await_refusal();
  void start_timer(migration::SourceTimer timer);
  void on_message(const PeerMessage& message);
  void on_running(const PeerMessage& message);
  Result<> open_inbox();
  void listen_to_operator();
  Result<> abandon(bool keep);
  void announce_phase();
  void tell_failed_round(const std::string& reason);
  void finish(bool moved, bool lost);

  Result<> prepare();
  Result<> plan_network(const std::string& destination);
  Result<> lock_containers();
  Result<> inspect_containers();
  Result<> send_prepare();
  Result<> copy();
  Result<> prepare_dumps();
  void wait_for_dumps() const;
  void lift_limits();
  Result<> put_back_limits();
  Result<> dump();
  Result<> dump_and_copy(Deadline deadline);
  Result<> settle_tcp();
  [[nodiscard]] nlohmann::json describe_restore() const;
  Result<> dump_all(Deadline deadline);
  Result<> dump_metadata(size_t member, Deadline deadline);
  Result<> query(uint32_t epoch);
  Result<> connect_copy();
  void forget_copy();
  Result<> end_copy();

  AgentConfig config_;
  SessionDirectory session_;
  std::unique_ptr<EventLog> events_;
  MigrateRequest request_;
  Mailbox<migration::SourceEvent> mailbox_;
  ThreadBound<migration::SourceState> state_;  // of the thread that drives
  Clock::time_point began_ = Clock::now();
  Deadline copy_deadline_ = Deadline::never();
  Deadline timer_ = Deadline::never();
  bool ended_ = false;

  std::vector<UniqueFd> container_locks_;  // until the process ends
  SourceRecord record_;
  std::mutex message_mutex_;  // guards the two below
  bool prepared_ = false;
  bool resumed_ = false;
  std::string ended_there_;  // why the container has ended at the destination; written before `running` is posted
  bool silence_told_ = false;
  std::atomic<bool> giving_up_ = false;
  std::atomic<bool> cancelled_ = false;
  std::atomic<bool> failed_round_told_ = false;
  std::atomic<uint32_t> given_away_epoch_ = 0;  // 0: not in that phase
  std::vector<SourceContainer> containers_;     // the one that was asked for is the first
  std::optional<SourceHold> hold_;
  std::optional<criu::CriuProgram> criu_;
  std::vector<criu::Dump> dumps_;  // of the containers, in their order
  std::vector<network::Neighbour> neighbours_;
  bool follows_translations_ = false;  // the containers' network namespace has rules, and can be asked
  std::vector<network::TranslatedConnection> translated_;
  NetworkMode network_ = NetworkMode::automatic;  // what is asked of the destination
  std::vector<network::HostRoute> away_;          // to the destination, where pods are reached by routes
  std::unique_ptr<PeerLink> link_;
  RoundOptions round_options_;  // outlives what uses it
  std::unique_ptr<SourceCopy> copy_;
  CopyTotals copy_totals_;
  Timeline timeline_;
  Clock::time_point address_asked_;
  double pause_ms_ = 0;
  double client_gap_ms_ = 0;
  std::optional<Phase> shown_phase_;
  UniqueFd inbox_;
  UniqueFd stop_;
  std::thread inbox_thread_;
  EffectRunner effects_;  // last: its thread uses all of the above
};

}  // namespace godwit::agent
