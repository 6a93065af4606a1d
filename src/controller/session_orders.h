// What the agent of a running Migration's source is told while it is at it.
#pragma once

#include <stop_token>

#include <nlohmann/json.hpp>

#include "agent/requests.h"
#include "api/migration.h"
#include "controller/migration_run.h"

namespace godwit::controller {

// As the agents know them.
agent::MigrateOptions agent_options(const api::MigrationOptions& options);

// Asks for the end of what a Migration, now deleted, has begun. What comes of it is the session's own result, which
// MigrationRun waits for. Error: ask again, because the order to begin may still be under way.
Result<> cancel_at_agent(const RunContext& context, const nlohmann::json& migration, const std::stop_token& stop);
// The Migration's options have changed, and count from the next round of copying on. True: the session knows them;
// false: it is over. Error: as above.
Result<bool> reconfigure_at_agent(const RunContext& context, const nlohmann::json& migration,
                                  const std::stop_token& stop);

}  // namespace godwit::controller
