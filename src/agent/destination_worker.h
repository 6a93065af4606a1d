// One session's destination: drives the destination machine, makes the place, receives, restores, holds and resumes. A
// pod's containers arrive as if they were one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/arriving_container.h"
#include "agent/config.h"
#include "agent/container_lock.h"
#include "agent/destination_place.h"
#include "agent/destination_record.h"
#include "agent/effect_runner.h"
#include "agent/event_log.h"
#include "agent/mailbox.h"
#include "agent/peer_bodies.h"
#include "agent/peer_link.h"
#include "agent/pod_claim.h"
#include "agent/session_directory.h"
#include "agent/thread_bound.h"
#include "agent/timeline.h"
#include "memory/page_store.h"
#include "memory/pager.h"
#include "migration/destination_machine.h"
#include "network/address_routes.h"
#include "network/announce.h"
#include "network/gate.h"
#include "network/parking.h"
#include "transfer/lane_receiver.h"
#include "transfer/preamble.h"

namespace godwit::agent {

// Owned by main() of a worker process. The calling thread of serve() drives the machine; effects run one at a time on
// EffectRunner's thread; connections that the supervisor hands over are served by a thread each.
class DestinationWorker {
 public:
  DestinationWorker(AgentConfig config, SessionDirectory session, std::unique_ptr<EventLog> events)
      : config_(std::move(config)), session_(std::move(session)), events_(std::move(events)) {}
  ~DestinationWorker();

  // `control`: the source's connection, TLS not yet begun. `admission`: to the supervisor (worker_arguments.h).
  Result<> serve(UniqueFd control, UniqueFd admission);
  // Finishes what a dead worker left.
  Result<> recover(const std::optional<DestinationRecord>& record);

 private:
  using Kind = migration::DestinationEventKind;

  void drive(std::optional<migration::DestinationEvent> first);
  void execute(const migration::DestinationEffect& effect);
  void run_effect(Kind done, std::function<Result<>()> effect, int repeat_key = 0);
  void on_message(const PeerMessage& message);
  void on_note(const std::string& name, uint64_t value);
  PeerMessage reply(migration::MessageKind kind) const;
  void accept_connections();
  void start_thread(std::function<void()> serve);
  Result<std::unique_ptr<transfer::TlsStream>> accept_stream(UniqueFd connection, transfer::Role role) const;
  void serve_lane(UniqueFd connection);
  void watch_lanes();
  void serve_files(UniqueFd connection);
  void serve_query(UniqueFd connection);
  void serve_pod(UniqueFd connection);
  void give_up_pod(const PodClaim& claim);
  void watch_keeper(const UniqueFd& pidfd, size_t member);
  Result<> refuse_at_once(transfer::TlsStream& stream, Error reason) const;
  void finish(bool running);
  void wait_for_forget();

  Result<> make_slot();
  Result<size_t> make_place(const PrepareBody& body);
  Result<size_t> make_pod_place(const PrepareBody& body);
  Result<> open_network(const PrepareBody& body, const DestinationPlace& place);
  Result<> make_store(uint64_t limit_bytes);
  Result<PodClaim> wait_for_pod(Deadline deadline);
  Result<> take_address(uint32_t epoch);
  [[nodiscard]] nlohmann::json neighbours_told();
  void settle_address() const;
  Result<> choose_network(const PrepareBody& body, const network::Guest* guest);
  void end_connections() const;
  Result<> release_address();
  Result<> restore();
  void forget_ended(const RestoreBody& body);
  Result<> restore_all(const RestoreBody& body, Deadline deadline);
  Result<> resume();
  Result<> thaw_all();
  void wait_for_answer(uint64_t parked, const Result<uint64_t>& sent_before);
  void end_all();
  void complete_memory();
  Result<> discard();
  Result<> discard_recorded();
  Result<> discard_containers_recorded();
  Kind find_what_is_left();
  void stop_receiving();

  // Of a connection that the supervisor handed over, or of watch_lanes().
  struct ConnectionThread {
    std::thread thread;
    std::shared_ptr<std::atomic<bool>> ended;
  };

  AgentConfig config_;
  SessionDirectory session_;
  std::unique_ptr<EventLog> events_;
  std::optional<transfer::TlsIdentity> identity_;
  Mailbox<migration::DestinationEvent> mailbox_;
  ThreadBound<migration::DestinationState> state_;  // of the thread that drives
  Deadline timer_ = Deadline::never();
  bool ended_ = false;
  bool recovering_ = false;
  std::atomic<bool> forgotten_ = false;

  std::string source_name_;  // of the source's certificate; set before any other thread runs
  UniqueFd container_lock_;
  DestinationRecord record_;
  nlohmann::json prepare_body_;
  Timeline timeline_;
  std::atomic<double> resumed_ms_ = 0;
  std::atomic<double> answered_ms_ = 0;  // 0: nothing was sent soon

  std::vector<std::unique_ptr<ArrivingContainer>> containers_;  // by their members; null: not made yet
  std::atomic<bool> reconnects_ = false;                        // the pod has an address of its own here
  bool keeps_tcp_ = true;
  std::optional<network::Gate> gate_;
  std::optional<network::LoopbackGate> loopback_;  // if there are several
  std::optional<network::Announcer> announcer_;
  std::optional<network::Parking> parking_;
  std::optional<network::AddressRoutes> routes_;  // where pods are reached by routes
  std::unique_ptr<memory::PageStore> store_;
  std::unique_ptr<transfer::LaneReceiver> lanes_;  // after their store
  std::unique_ptr<memory::Pager> pager_;           // after its store
  std::optional<criu::CriuProgram> criu_;
  std::thread completion_;
  std::string completion_error_;  // written before `pages_placed` is posted

  std::condition_variable_any pod_changed_;  // of the next three, under connections_mutex_
  std::optional<PodClaim> pod_;              // a clone pod's offer that nobody has taken yet
  std::string pod_refusal_;                  // why there will be no clone pod
  nlohmann::json interface_;                 // the container's, once the source has told it
  std::mutex connections_mutex_;             // guards containers_, the three above and the six below
  nlohmann::json address_body_;              // the newest, like the next
  RestoreBody restore_body_;
  std::vector<ConnectionThread> connection_threads_;
  std::vector<transfer::TlsStream*> connection_streams_;
  std::unique_ptr<transfer::TlsStream> query_;
  bool receiving_ = true;
  UniqueFd inbox_;
  UniqueFd stop_;
  std::thread inbox_thread_;
  std::unique_ptr<PeerLink> link_;
  EffectRunner effects_;  // last: its thread uses all of the above
};

// Answers one query about a session that has no worker, from what is recorded; `connection`: TLS not yet begun.
Result<> answer_from_record(const AgentConfig& config, const std::string& session_id, UniqueFd connection);

}  // namespace godwit::agent
