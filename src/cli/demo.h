// `godwit demo`: shows, on one machine, a busy redis moving between two nodes while its clients stay connected, and
// checks everything that is claimed.
#pragma once

#include <cstdint>
#include <string>

#include "base/deadline.h"
#include "cli/migration_run.h"

namespace godwit::cli {

struct DemoOptions {
  uint64_t memory_bytes = uint64_t{1} << 30;
  size_t clients = 16;
  uint64_t moves = 2;
  double rate_per_s = 20000;  // requests of all clients together
  double settle_ms = 1500;    // load before and after each move
  std::string json_path;
  agent::MigrateOptions limits;
};

// exit_ok only if every check held.
ExitStatus run_demo(const DemoOptions& options);

}  // namespace godwit::cli
