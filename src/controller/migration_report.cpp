// What a Migration tells its users: its status, conditions and events.
#include "controller/finalizer.h"
#include "controller/migration_run.h"

#include "api/conditions.h"
#include "api/merge_patch.h"
#include "api/names.h"
#include "kube/json_path.h"

namespace godwit::controller {

using nlohmann::json;

Result<> MigrationRun::write_status() {
  json after = migration_;
  status_.observed_generation = migration_["metadata"].value("generation", int64_t{0});
  api::write_status(after, status_);
  for (api::Condition step : steps_) {
    step.observed_generation = status_.observed_generation;
    api::set_condition(after["status"], step, std::chrono::system_clock::now());
  }
  const json patch = api::merge_patch_between(migration_, after);
  if (patch.empty()) return {};
  GODWIT_ASSIGN(migration_, context_.client.patch({api::migrations, namespace_, name_, "status"},
                                                  kube::PatchType::merge, patch, call()));
  return {};
}

void MigrationRun::note_step(const std::string& type, bool holds, const std::string& reason,
                             const std::string& message) {
  steps_.push_back({.type = type,
                    .status = holds ? "True" : "False",
                    .reason = reason,
                    .message = message,
                    .observed_generation = 0,
                    .last_transition = {}});
}

// An event's action is the phase that it belongs to.
void MigrationRun::note(bool warning, const std::string& reason, const std::string& text,
                        const std::string& distinction, std::optional<api::MigrationPhase> phase) {
  const std::string action = api::to_string(phase.value_or(status_.phase));
  context_.events.record({.regarding = kube::reference_to(migration_),
                          .related = source_.is_object() ? kube::reference_to(source_) : json(),
                          .warning = warning,
                          .reason = reason,
                          .action = action.empty() ? "Assess" : action,
                          .note = text,
                          .distinction = distinction});
}

void MigrationRun::note_resumed() {
  const auto frozen = kube::parse_timestamp(status_.checkpoint_time);
  if (!frozen || !status_.pause_ms) return;
  const std::chrono::duration<double, std::milli> pause(*status_.pause_ms);
  status_.resume_time =
      kube::format_micro_time(*frozen + std::chrono::duration_cast<std::chrono::system_clock::duration>(pause));
}

Result<> MigrationRun::end(api::MigrationState state, const std::string& reason, const std::string& message) {
  const bool completed = state == api::MigrationState::completed;
  status_.state = state;
  status_.phase = completed ? api::MigrationPhase::complete : api::MigrationPhase::failed;
  status_.reason = reason;
  status_.message = message;
  status_.completion_time = kube::format_time(std::chrono::system_clock::now());
  note(!completed, completed ? api::event_reasons::migration_finished : api::event_reasons::migration_failed, message);
  note_step(completed ? "Completed" : "Failed", true, reason, message);
  GODWIT_TRY(write_status());
  if (completed) forget_arrival();
  return let_go();
}

Result<> MigrationRun::let_go() {
  GODWIT_TRY(remove_finalizer(context_.client, migration_, call()));
  return {};
}

}  // namespace godwit::controller
