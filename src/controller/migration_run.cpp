#include "controller/migration_run.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/ranges.h>

#include "agent/session_directory.h"
#include "api/names.h"
#include "base/log.h"
#include "controller/clone_pod.h"
#include "controller/destination_choice.h"
#include "controller/eligibility.h"
#include "controller/finalizer.h"
#include "controller/network_mode.h"
#include "controller/pod_claims.h"
#include "controller/pod_trouble.h"
#include "controller/released_pod.h"
#include "controller/service_labels.h"
#include "kube/json_path.h"

namespace godwit::controller {
namespace {

using nlohmann::json;

constexpr auto call_time = std::chrono::seconds(20);
constexpr auto ready_poll = std::chrono::milliseconds(100);
constexpr int looks_per_node_look = 20;
constexpr auto recovery_pause = std::chrono::seconds(5);
constexpr int recoveries_max = 3;
constexpr const char* lowest_deletion_cost = "-2147483648";

// Of the API server, which may answer next time.
bool passes(const Error& error) {
  return error.code == EAGAIN;
}

}  // namespace

MigrationRun::MigrationRun(const RunContext& context, const json& migration, std::stop_token stop)
    : context_(context),
      migration_(migration),
      stop_(std::move(stop)),
      namespace_(kube::namespace_of(migration)),
      name_(kube::name_of(migration)),
      status_(api::read_status(migration)) {}

Result<> MigrationRun::run() {
  auto spec = api::read_spec(migration_);
  if (!spec) return fail_migration("InvalidSpec", spec.error().message);
  spec_ = std::move(*spec);
  const bool resumed = !status_.clone_name.empty();
  if (!resumed && is_deleted(migration_)) return let_go();
  if (resumed) {
    GODWIT_TRY(resume());
  } else if (auto prepared = prepare(); !prepared && passes(prepared.error())) {
    return prepared;
  } else if (!prepared) {
    note_step("Eligible", false, "NotEligible", prepared.error().message);
    return fail_migration("NotEligible", prepared.error().message);
  }
  if (status_.recovering) return bring_back();
  if (!resumed && is_deleted(migration_)) {
    return fail_migration("Cancelled", fmt::format("the Migration was deleted before it began; pod {} stays on node {}",
                                                   spec_.pod_name, status_.source_node));
  }
  auto result = resumed ? take_up() : begin();
  if (!result && stop_.stop_requested()) return {};
  if (!result) return std::unexpected(std::move(result.error()));
  return finish(*result);
}

// Everything that can be said against it is said before anything is touched.
Result<> MigrationRun::prepare() {
  auto pod = context_.client.get(pod_path(spec_.pod_name), call());
  if (!pod) return std::unexpected(Error(pod.error()).context("pod " + spec_.pod_name));
  GODWIT_TRY(adopt_source(std::move(*pod)));
  const std::vector<std::string> obstacles = pod_obstacles(source_);
  if (!obstacles.empty()) return fail("pod {} cannot be migrated: {}", spec_.pod_name, fmt::join(obstacles, "; "));
  GODWIT_TRY(check_volumes_move());
  for (const auto& [annotation, name] : unknown_containers(source_)) {
    note(true, "UnknownContainer",
         fmt::format("annotation {} of the pod names container '{}', which it has not", annotation, name), name);
  }
  if (owner_.keeps_names()) {
    if (context_.arrivals == nullptr || !context_.arrivals->can_be_expected()) {
      return fail("pods of StatefulSets can only be moved by a controller that is told its --admission-address");
    }
    GODWIT_TRY(owner_.check_same_revision(source_));
  }
  status_.source_node = source_["spec"].value("nodeName", "");
  const std::string clone = owner_.keeps_names() ? spec_.pod_name : clone_name(spec_.pod_name);
  GODWIT_ASSIGN(
      status_.destination_node,
      choose_destination(
          context_.client,
          {.pod = source_, .wanted = spec_.destination, .migration = kube::uid_of(migration_), .clone_name = clone},
          context_.moves, call()));
  GODWIT_ASSIGN(status_.session, agent::SessionDirectory::new_id());
  std::vector<std::string> containers = moving_containers(source_);
  if (containers.empty()) return fail("pod {} has no container that runs", spec_.pod_name);
  status_.source_container = containers.front();
  status_.companions.assign(containers.begin() + 1, containers.end());
  status_.pod_uid = kube::uid_of(source_);
  status_.clone_name = clone;
  status_.state = api::MigrationState::running;
  status_.phase = api::MigrationPhase::pre_dump;
  status_.start_time = kube::format_time(std::chrono::system_clock::now());
  note_step("Eligible", true, "RequirementsMet",
            fmt::format("pod {} can be moved from node {} to node {}", spec_.pod_name, status_.source_node,
                        status_.destination_node));
  GODWIT_ASSIGN(migration_, add_finalizer(context_.client, migration_, call()));
  // They may have changed since the Migration was read; from now on the controller passes on what changes.
  GODWIT_ASSIGN(const api::MigrationSpec spec, api::read_spec(migration_));
  spec_.options = spec.options;
  status_.network_mode = spec.options.network_mode;
  return write_status();
}

Result<> MigrationRun::check_volumes_move() {
  std::vector<json> claims;
  for (const std::string& name : claims_of(source_)) {
    GODWIT_ASSIGN(claims.emplace_back(),
                  context_.client.get({kube::resources::persistent_volume_claims, namespace_, name, ""}, call()));
  }
  const std::vector<std::string> obstacles = claim_obstacles(claims);
  if (obstacles.empty()) return {};
  return fail("pod {} cannot be migrated: {}", spec_.pod_name, fmt::join(obstacles, "; "));
}

Result<> MigrationRun::resume() {
  GODWIT_ASSIGN(json pod, find_pod(spec_.pod_name));
  if (!pod.is_null()) metadata_ = pod["metadata"];
  // Gone, or another of its name: the hand-over was done, or somebody deleted it.
  if (kube::uid_of(pod) != status_.pod_uid) return {};
  context_.moves.plan(kube::uid_of(migration_), moved_pod(pod, status_.clone_name, status_.destination_node));
  return adopt_source(std::move(pod));
}

Result<> MigrationRun::adopt_source(json pod) {
  source_ = std::move(pod);
  undo_release(source_);
  metadata_ = source_["metadata"];
  GODWIT_ASSIGN(owner_, find_owner(context_.client, source_, call()));
  owner_labels_ = owner_labels(source_, owner_.object);
  return {};
}

Result<agent::ResultEvent> MigrationRun::begin() {
  auto made = make_place();
  if (made) return order();
  if (stop_.stop_requested() || passes(made.error())) return std::unexpected(std::move(made.error()));
  return agent::ResultEvent{.session = status_.session,
                            .from = status_.source_node,
                            .to = target_node(),
                            .reason = note_no_place(made.error().message)};
}

std::string MigrationRun::note_no_place(const std::string& why) {
  const std::string text = fmt::format("the pod could not be created on node {}: {}", target_node(), why);
  if (status_.recovering) return text;
  status_.reason = api::event_reasons::pod_create_failed;
  note(true, api::event_reasons::pod_create_failed, text, "", api::MigrationPhase::restore);
  note_step("PodCreated", false, status_.reason, text);
  return text;
}

// Can be repeated.
Result<> MigrationRun::make_place() {
  if (keeps_name()) {
    GODWIT_TRY(replacement().hold());
    return replacement().make(arrival());
  }
  if (source_.is_null()) return fail("pod {} has gone", spec_.pod_name);
  json held_back = find_service_labels(context_.client, source_, call());
  held_back.update(owner_labels_);
  const json clone =
      make_clone(source_, {.node = status_.destination_node, .session = status_.session, .without_labels = held_back});
  auto created = context_.client.create(pod_path(""), clone, call());
  if (created) return {};
  if (!created.error().already_exists()) return std::unexpected(created.error());
  GODWIT_ASSIGN(const json there, find_pod(status_.clone_name));
  if (kube::annotation_of(there, api::annotations::restore) == status_.session) return {};
  return fail("there is another pod named {}", status_.clone_name);
}

Replacement MigrationRun::replacement() {
  std::vector<std::string> containers{status_.source_container};
  containers.insert(containers.end(), status_.companions.begin(), status_.companions.end());
  return {context_, namespace_, spec_.pod_name, status_.source_node, std::move(containers), stop_};
}

Arrival MigrationRun::arrival() const {
  return {.node = target_node(), .session = target_session(), .metadata = metadata_, .running = source_};
}

Result<> MigrationRun::finish(const agent::ResultEvent& result) {
  if (!result.ok && result.unknown) return fail("session {}: {}", result.session, result.reason);
  if (!result.ok) return fail_session(result);
  status_.network_mode = api_mode(result.network);
  status_.pause_ms = std::round(result.pause_ms * 10) / 10;
  if (result.client_gap_ms > 0) status_.client_gap_ms = std::round(result.client_gap_ms * 10) / 10;
  status_.phase = api::MigrationPhase::restore;
  note_resumed();
  GODWIT_TRY(write_status());
  GODWIT_ASSIGN(const std::string trouble, wait_ready());
  if (trouble.empty()) {
    const std::string text = fmt::format("pod {} runs on node {}", status_.clone_name, status_.destination_node);
    note(false, api::event_reasons::pod_create_finished, text);
    note_step("PodCreated", true, api::event_reasons::pod_create_finished, text);
  }
  GODWIT_TRY(keeps_name() ? replacement().settle() : hand_over());
  const std::string moved =
      fmt::format("pod {} {} on node {} as {}, after a pause of {:.0f} ms", spec_.pod_name,
                  trouble.empty() ? "runs" : "went on", status_.destination_node, status_.clone_name, result.pause_ms);
  if (trouble.empty()) return end(api::MigrationState::completed, "Migrated", moved);
  return end(api::MigrationState::failed, lost_with_node,
             fmt::format("{}; then {}: its owner replaces it, as it does any pod that is lost", moved, trouble));
}

// What is made for that pod from now on, a container that has ended or a new sandbox, is made like any other.
void MigrationRun::forget_arrival() {
  const json plain = {{"metadata", {{"annotations", {{api::annotations::restore, nullptr}}}}}};
  auto cleared = context_.client.patch(pod_path(status_.clone_name), kube::PatchType::merge, plain, call());
  if (!cleared && !cleared.error().not_found()) log_warning("{}", cleared.error().message);
}

// Handed over before it is Ready, the clone would be the first that its owner takes for one too many.
Result<std::string> MigrationRun::wait_ready() {
  const Deadline deadline = Deadline::after(context_.ready_time);
  for (int look = 1;; ++look) {
    const auto clone = find_pod(status_.clone_name);
    if (clone) {
      const std::string phase = kube::text_at(*clone, "/status/phase");
      if (is_ready(*clone) || phase == "Succeeded") return std::string();
      pass_gates(*clone);
      if (clone->is_null()) return std::string("it was deleted there");
      if (phase == "Failed") return "it has ended there: " + trouble_of(*clone);
    }
    if (look % looks_per_node_look == 0) {
      const auto node = context_.client.get({kube::resources::nodes, "", target_node(), ""}, call());
      if (node && !is_ready(*node)) return fmt::format("node {} was not Ready any more", target_node());
    }
    if (deadline.expired()) {
      log_warning("{}/{} is not Ready after {} s; it is handed over all the same", namespace_, status_.clone_name,
                  context_.ready_time.count());
      return std::string();
    }
    if (!kube::sleep_unless_stopped(ready_poll, deadline, stop_) && stop_.stop_requested()) return fail("stopped");
  }
}

// Whoever passes them does not know the clone before it has its pod's labels.
void MigrationRun::pass_gates(const json& clone) {
  const json patch = gates_patch(clone, source_);
  if (patch.empty() || gates_refused_) return;
  const auto passed = kube::unless_gone(context_.client.patch(
      {kube::resources::pods, namespace_, status_.clone_name, "status"}, kube::PatchType::json, patch, call()));
  gates_refused_ = !passed;
  if (!passed) log_warning("readiness gates of {}/{}: {}", namespace_, status_.clone_name, passed.error().message);
}

// The source is the cheapest to delete before there is one too many, so that its owner, too, deletes no other. But a
// pod that is not Ready is cheaper: then the source is no longer the owner's before the clone is, and the owner may
// make another for a moment.
Result<> MigrationRun::hand_over() {
  if (source_.is_null()) return {};  // it was the last thing to go
  const std::string uid = kube::uid_of(source_);
  const json cost = {{"metadata", {{"uid", uid}, {"annotations", {{deletion_cost_annotation, lowest_deletion_cost}}}}}};
  GODWIT_TRY(kube::unless_gone(context_.client.patch(pod_path(spec_.pod_name), kube::PatchType::merge, cost, call())));
  GODWIT_ASSIGN(const json clone, find_pod(status_.clone_name));
  if (is_counted_by_owner(source_) || !is_ready(clone)) {
    // First of all: of two pods a Job would delete the younger one. That it has none it sees after a second only.
    json released = release_patch(source_, owner_labels_);
    released["metadata"]["uid"] = uid;
    GODWIT_TRY(
        kube::unless_gone(context_.client.patch(pod_path(spec_.pod_name), kube::PatchType::merge, released, call())));
  }
  GODWIT_TRY(kube::unless_gone(
      context_.client.patch(pod_path(status_.clone_name), kube::PatchType::merge, hand_over_patch(source_), call())));
  // Its container is frozen and lives elsewhere: there is nothing to wait for, and no preStop hook may run.
  return remove_source();
}

// Of no use any more: its frozen container may not run, and is only ended.
Result<> MigrationRun::remove_source() {
  if (source_.is_null()) return {};
  return kube::unless_gone(
      context_.client.remove(pod_path(spec_.pod_name), {.uid = kube::uid_of(source_), .grace_period_s = 0}, call()));
}

Result<> MigrationRun::fail_migration(const std::string& reason, const std::string& message) {
  if (!status_.session.empty() && !keeps_name()) GODWIT_TRY(remove_clone());
  return end(api::MigrationState::failed, reason, message);
}

Result<> MigrationRun::fail_session(const agent::ResultEvent& result) {
  auto now = context_.client.get({api::migrations, namespace_, name_, ""}, call());
  if (!now && now.error().not_found() && !keeps_name()) return remove_clone();  // somebody took the finalizer away
  if (!now) return std::unexpected(now.error());
  migration_ = std::move(*now);
  const bool restarting = api::read_status(migration_).restarting == status_.session;
  if (restarting && !result.lost && !is_deleted(migration_)) return begin_anew();
  const bool cancelled = is_deleted(migration_) && !result.lost;
  if (!cancelled && status_.reason.empty()) GODWIT_TRY(look_for_refusal());
  const std::string reason = cancelled ? "Cancelled" : status_.reason.empty() ? "MigrationFailed" : status_.reason;
  const std::string message = cancelled ? fmt::format("the Migration was deleted; pod {} stays on node {} ({})",
                                                      spec_.pod_name, status_.source_node, result.reason)
                                        : result.reason;
  if (result.lost && !keeps_name()) return fail_lost(reason, message);
  if (!keeps_name()) return fail_migration(reason, message);
  GODWIT_ASSIGN(const json there, find_pod(spec_.pod_name));
  if (kube::uid_of(there) == status_.pod_uid) {
    GODWIT_TRY(replacement().settle());
    GODWIT_TRY(replacement().let_go());
    return fail_migration(reason, message);
  }
  if (result.lost) {
    GODWIT_TRY(replacement().give_up());
    return fail_migration(reason, message + "; its StatefulSet begins anew");
  }
  status_.recovering = true;
  status_.reason = reason;
  status_.message = message;
  return bring_back();
}

// The pod's place on the destination was made for another network mode.
Result<> MigrationRun::begin_anew() {
  GODWIT_ASSIGN(const api::MigrationSpec spec, api::read_spec(migration_));
  spec_.options = spec.options;
  GODWIT_TRY(remove_clone());
  GODWIT_ASSIGN(status_.session, agent::SessionDirectory::new_id());
  status_.network_mode = spec_.options.network_mode;
  status_.phase = api::MigrationPhase::pre_dump;
  status_.reason.clear();
  status_.rounds.clear();
  GODWIT_TRY(write_status());
  GODWIT_ASSIGN(const agent::ResultEvent result, begin());
  return finish(result);
}

// Where it was there is nothing to go back to. Where it went its container begins anew, if that node lives.
Result<> MigrationRun::fail_lost(const std::string& reason, const std::string& message) {
  GODWIT_ASSIGN(const json clone, find_pod(status_.clone_name));
  const bool begins_anew =
      reason != lost_with_node && kube::annotation_of(clone, api::annotations::restore) == status_.session;
  if (begins_anew) {
    GODWIT_TRY(hand_over());
    forget_arrival();
    return end(api::MigrationState::failed, reason,
               fmt::format("{}; its container begins anew in {}", message, status_.clone_name));
  }
  GODWIT_TRY(remove_source());
  return fail_migration(reason, message + "; its owner replaces it, as it does any pod that is lost");
}

// Its kubelet may have said of the pod's place why nothing could arrive there.
Result<> MigrationRun::look_for_refusal() {
  GODWIT_ASSIGN(const json place, find_pod(status_.clone_name));
  if (kube::annotation_of(place, api::annotations::restore) != status_.session) return {};
  if (const auto refusal = refusal_of(place)) note_no_place(*refusal);
  return {};
}

// The pod's name has gone to the destination, but the pod has not: it moves to where it is, into a pod that its
// StatefulSet makes there.
Result<> MigrationRun::bring_back() {
  const bool stays = kube::label_of({{"metadata", metadata_}}, api::labels::removal_disabled) == "true";
  // Of the move that has failed, or of an attempt of an earlier leader.
  GODWIT_ASSIGN(agent::ResultEvent result, follow());
  for (int attempt = 1; !result.ok; ++attempt) {
    GODWIT_ASSIGN(status_.session, agent::SessionDirectory::new_id());
    GODWIT_TRY(write_status());
    GODWIT_ASSIGN(result, begin());
    if (result.ok) break;
    log_warning("{}/{} cannot be brought back yet: {}", namespace_, spec_.pod_name, result.reason);
    if (result.lost || (attempt >= recoveries_max && !stays)) {
      GODWIT_TRY(replacement().give_up());
      return fail_migration(status_.reason,
                            fmt::format("{}; it could not be brought back on node {} either ({}), and its StatefulSet "
                                        "begins anew",
                                        status_.message, status_.source_node, result.reason));
    }
    if (!kube::sleep_unless_stopped(recovery_pause, Deadline::never(), stop_)) return fail("stopped");
  }
  GODWIT_ASSIGN(const std::string trouble, wait_ready());
  GODWIT_TRY(replacement().settle());
  forget_arrival();
  return fail_migration(status_.reason,
                        fmt::format("{}; it was brought back on its original node {}{}{}", status_.message,
                                    status_.source_node, trouble.empty() ? "" : ", and then ", trouble));
}

// Only the clone of this session: one of that name may be somebody else's.
Result<> MigrationRun::remove_clone() {
  GODWIT_ASSIGN(const json clone, find_pod(status_.clone_name));
  if (clone.is_null() || kube::annotation_of(clone, api::annotations::restore) != status_.session) return {};
  auto removed =
      context_.client.remove(pod_path(status_.clone_name), {.uid = kube::uid_of(clone), .grace_period_s = 0}, call());
  if (!removed && !removed.error().not_found()) return std::unexpected(removed.error());
  return {};
}

// Null: there is none of that name.
Result<json> MigrationRun::find_pod(const std::string& name) {
  return find_object(pod_path(name), call());
}

Result<json> MigrationRun::find_object(const kube::ObjectPath& path, const kube::Call& call) const {
  auto object = context_.client.get(path, call);
  if (!object && object.error().not_found()) return json();
  return object;
}

kube::Call MigrationRun::call() const {
  return kube::within(call_time, stop_);
}

kube::ObjectPath MigrationRun::pod_path(const std::string& name) const {
  return {kube::resources::pods, namespace_, name, ""};
}

}  // namespace godwit::controller
