// What the agent of a running Migration's source is told while it is at it.
#pragma once

#include <cstdint>
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
enum class Reconfigured : uint8_t {
  over,         // too late: the session has its result
  known,        // the session knows them; they count from the next round of copying on
  begins_anew,  // the session was asked to end, and MigrationRun begins another
  in_part,      // as `known`, but for the network mode: a StatefulSet's pod has been made for the old one
};
// The Migration's options have changed. Error: as above.
Result<Reconfigured> reconfigure_at_agent(const RunContext& context, const nlohmann::json& migration,
                                          const std::stop_token& stop);
// In words for users.
const char* to_string(Reconfigured reconfigured);

}  // namespace godwit::controller
