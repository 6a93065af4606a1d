// Running one migration to its end: request, events to the view, Ctrl-C to `cancel`. Shared by `migrate` and `demo`.
#pragma once

#include <string>

#include "agent/requests.h"
#include "base/deadline.h"
#include "base/result.h"
#include "cli/interrupts.h"
#include "cli/migration_record.h"
#include "cli/screen.h"

namespace godwit::cli {

// What a program that runs `godwit` learns.
enum ExitStatus : int {
  exit_ok = 0,
  exit_failed = 1,   // and a container that was to move is where it was
  exit_usage = 2,    // nothing was tried
  exit_unknown = 3,  // whether it moved is not known
  exit_lost = 4,     // the container runs nowhere any more
};

// Longest silence of an agent before its migration counts as of unknown outcome.
constexpr milliseconds agent_silence_max{120000};

// Shows the migration on `screen`, verdict included, and fills `record`. Error: it was not begun. A record without
// result: the agent went away while it ran. An interrupt asks the agent to cancel and goes on waiting for the outcome;
// a second one stops waiting. With one from before nothing is begun.
Result<> run_migration(const std::string& socket_path, const agent::MigrateRequest& request, Interrupts& interrupts,
                       Screen& screen, MigrationRecord& record);

ExitStatus exit_status_of(const MigrationRecord& record);

}  // namespace godwit::cli
