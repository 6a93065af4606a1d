#include "controller/controller.h"

#include <fmt/format.h>

#include "api/migration.h"
#include "api/names.h"
#include "controller/finalizer.h"
#include "controller/session_orders.h"
#include "kube/json_path.h"

namespace godwit::controller {

using nlohmann::json;

Controller::Controller(const RunContext& context, ControllerOptions options)
    : context_(context),
      options_(options),
      runs_("migration", [this](const std::string& key, const std::stop_token& stop) { return carry_on(key, stop); }),
      cancellations_("cancel migration",
                     [this](const std::string& key, const std::stop_token& stop) { return cancel(key, stop); }),
      reconfigurations_("options of migration",
                        [this](const std::string& key, const std::stop_token& stop) { return reconfigure(key, stop); }),
      migrations_(context.client, api::migrations) {
  migrations_.add_handler([this](const kube::Change& change) { on_change(change); });
}

// What a run writes into its status is no reason to begin it again: one that fails comes back by itself.
void Controller::on_change(const kube::Change& change) {
  if (change.now == nullptr) return;
  const api::MigrationStatus status = api::read_status(*change.now);
  const bool deleted = is_deleted(*change.now);
  const bool runs = status.state == api::MigrationState::running;
  const bool due = status.over() ? has_finalizer(*change.now) : !runs || deleted || change.before == nullptr;
  if (due) runs_.queue().add(change.key);
  // The thread that carries it through waits for the agent.
  if (runs && deleted) cancellations_.queue().add(change.key);
  const auto generation = [](const json& object) { return kube::number_at(object, "/metadata/generation"); };
  // What an earlier leader has seen stands in the status.
  const int64_t known = change.before != nullptr ? generation(*change.before) : status.observed_generation;
  if (runs && !deleted && generation(*change.now) != known) reconfigurations_.queue().add(change.key);
}

void Controller::start() {
  runs_.start(options_.migrations_max);
  cancellations_.start(1);
  reconfigurations_.start(1);
  migrations_.start();
}

void Controller::stop() {
  runs_.stop();
  cancellations_.stop();
  reconfigurations_.stop();
}

// The store may be older than what this very process wrote.
kube::ApiResult<json> Controller::read(const std::string& key, const std::stop_token& stop) {
  const size_t slash = key.find('/');
  return context_.client.get({api::migrations, key.substr(0, slash), key.substr(slash + 1), ""},
                             kube::within(std::chrono::seconds(20), stop));
}

Result<> Controller::carry_on(const std::string& key, const std::stop_token& stop) {
  const auto migration = read(key, stop);
  if (!migration) return migration.error().not_found() ? Result<>{} : std::unexpected(Error(migration.error()));
  if (!api::read_status(*migration).over()) return MigrationRun(context_, *migration, stop).run();
  GODWIT_TRY(remove_finalizer(context_.client, *migration, kube::within(std::chrono::seconds(20), stop)));
  return {};
}

// Until it is over: the order to begin may come to the agent after the first of these.
Result<> Controller::cancel(const std::string& key, const std::stop_token& stop) {
  const auto migration = read(key, stop);
  if (!migration) return migration.error().not_found() ? Result<>{} : std::unexpected(Error(migration.error()));
  if (api::read_status(*migration).over()) return {};
  return cancel_at_agent(context_, *migration, stop);
}

Result<> Controller::reconfigure(const std::string& key, const std::stop_token& stop) {
  const auto migration = read(key, stop);
  if (!migration) return migration.error().not_found() ? Result<>{} : std::unexpected(Error(migration.error()));
  if (is_deleted(*migration) || api::read_status(*migration).over()) return {};
  GODWIT_ASSIGN(const Reconfigured reconfigured, reconfigure_at_agent(context_, *migration, stop));
  if (reconfigured == Reconfigured::over) return {};
  const json options = migration->value("/spec/options"_json_pointer, json::object());
  context_.events.record({.regarding = kube::reference_to(*migration),
                          .related = json(),
                          .warning = false,
                          .reason = api::event_reasons::migration_reconfigured,
                          .action = api::to_string(api::read_status(*migration).phase),
                          .note = fmt::format("the options are {} {}", options.dump(), to_string(reconfigured)),
                          .distinction = options.dump()});
  return {};
}

}  // namespace godwit::controller
