// One Migration, from its beginning to its end: the clone pod, the order to the source's agent, the hand-over to the
// pod's owner, and the words for all of it.
//
// The agents decide alone whether the pod lives here or there (docs/hand-over.md); this follows. Everything that it
// must know after a restart is in the Migration's status before it is acted on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "api/conditions.h"
#include "api/migration.h"
#include "controller/agent_link.h"
#include "controller/arrivals.h"
#include "controller/planned_moves.h"
#include "controller/pod_owner.h"
#include "controller/replacement.h"
#include "controller/side_watch.h"
#include "kube/client.h"
#include "kube/event_recorder.h"
#include "kube/json_path.h"

namespace godwit::controller {

// Of a Migration whose pod went down with its destination.
constexpr const char* lost_with_node = "LostAfterHandOver";

// What every run uses; it outlives them.
struct RunContext {
  kube::Client& client;
  kube::EventRecorder& events;
  const AgentLink& agents;
  PlannedMoves& moves;
  Arrivals* arrivals = nullptr;  // without them pods of StatefulSets are refused
  // How long a pod that has arrived may take to be Ready; then it is handed over all the same.
  std::chrono::seconds ready_time = std::chrono::seconds(60);
};

// Used by one thread.
class MigrationRun {
 public:
  MigrationRun(const RunContext& context, const nlohmann::json& migration, std::stop_token stop);
  ~MigrationRun() { context_.moves.forget(kube::uid_of(migration_)); }
  MigrationRun(const MigrationRun&) = delete;
  MigrationRun& operator=(const MigrationRun&) = delete;

  // Returns when the Migration has ended or `stop` was asked for. Error: try again later; the status is as it was.
  Result<> run();

 private:
  // What it will be done with. An error here is a refusal: nothing was touched.
  Result<> prepare();
  Result<> adopt_source(nlohmann::json pod);
  Result<> check_volumes_move();
  // Goes on with what was begun before: by another leader, or by this one before it failed to see it through.
  Result<> resume();
  // The pod's place on the destination, then the order to move it there.
  Result<agent::ResultEvent> begin();
  Result<> make_place();
  Result<> finish(const agent::ResultEvent& result);
  void forget_arrival();
  // Empty: the pod that has arrived is Ready, or takes long. Else what became of it.
  Result<std::string> wait_ready();
  void pass_gates(const nlohmann::json& clone);
  Result<> hand_over();
  Result<> fail_migration(const std::string& reason, const std::string& message);
  // Of a session that did not move the pod: the Migration's end, or another session.
  Result<> fail_session(const agent::ResultEvent& result);
  Result<> begin_anew();
  Result<> fail_lost(const std::string& reason, const std::string& message);
  Result<> remove_clone();
  Result<> remove_source();
  Result<> look_for_refusal();

  // Of a StatefulSet's pod: it keeps its name, and so its object goes before it moves (replacement.h).
  [[nodiscard]] bool keeps_name() const { return status_.clone_name == spec_.pod_name; }
  Replacement replacement();
  [[nodiscard]] Arrival arrival() const;
  Result<> bring_back();

  // What the agents are asked (migration_orders.cpp).
  Result<agent::ResultEvent> order();
  // The outcome of a session that may have been ordered before. A result without a session: it never was.
  Result<agent::ResultEvent> follow();
  Result<agent::ResultEvent> take_up();
  void on_event(const agent::Event& event);
  // What ends a session that the agents would not end.
  struct SessionWatch {
    std::unique_ptr<SideWatch> place;
    std::unique_ptr<SideWatch> node;
  };
  [[nodiscard]] SessionWatch watch_session(const NodeAgent& source);
  // A session's result in the light of what these have found.
  agent::ResultEvent explain(agent::ResultEvent result, const SessionWatch& watch);
  // Whether that is another phase for users too.
  bool enter(agent::Phase phase);
  // Where the pod is to arrive.
  [[nodiscard]] const std::string& target_node() const;
  [[nodiscard]] std::string target_session() const;

  // What users are told (migration_report.cpp).
  Result<> write_status();
  Result<> end(api::MigrationState state, const std::string& reason, const std::string& message);
  // A condition: in the status from when it is next written.
  void note_step(const std::string& type, bool holds, const std::string& reason, const std::string& message);
  // The time that follows of the one of the freeze.
  void note_resumed();
  // That there is no place for the pod on the destination. Returns what to say of it.
  std::string note_no_place(const std::string& why);
  // As the last thing: the status says how it ended.
  Result<> let_go();
  // `phase`: that it belongs to; by default the one of the status.
  void note(bool warning, const std::string& reason, const std::string& text, const std::string& distinction = "",
            std::optional<api::MigrationPhase> phase = std::nullopt);

  Result<NodeAgent> agent_of(const std::string& node);
  // Null: there is none of that name.
  Result<nlohmann::json> find_pod(const std::string& name);
  [[nodiscard]] Result<nlohmann::json> find_object(const kube::ObjectPath& path, const kube::Call& call) const;
  [[nodiscard]] kube::Call call() const;
  [[nodiscard]] kube::ObjectPath pod_path(const std::string& name) const;

  const RunContext& context_;
  nlohmann::json migration_;  // as it was last written
  std::stop_token stop_;
  std::string namespace_;
  std::string name_;
  api::MigrationSpec spec_;
  api::MigrationStatus status_;
  bool gates_refused_ = false;
  nlohmann::json source_;  // the pod; null once it has gone
  // Of the pod, or of the one that has taken its name.
  nlohmann::json metadata_ = nlohmann::json::object();
  PodOwner owner_;               // of the source
  nlohmann::json owner_labels_;  // what makes a pod its owner's
  std::vector<api::Condition> steps_;
};

}  // namespace godwit::controller
