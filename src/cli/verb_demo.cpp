// `godwit demo`: the command line of demo.h.
#include <memory>

#include "cli/demo.h"
#include "cli/load_engine.h"
#include "cli/units.h"
#include "cli/verbs.h"

namespace godwit::cli {

void add_demo(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("demo", "See it: a busy redis moves between two nodes");
  const auto options = std::make_shared<DemoOptions>();
  add_quantity(*verb, "--memory", "SIZE", parse_size_bytes, options->memory_bytes, "Data in redis (default 1GiB)");
  add_number(*verb, "--clients", options->clients, size_t{1}, load_clients_max,
             "Clients, each with one connection (default 16)");
  add_number(*verb, "--moves", options->moves, uint64_t{1}, uint64_t{10000}, "Moves, there and back (default 2)");
  add_number(*verb, "--rate", options->rate_per_s, 1.0, 1e6, "Requests/s of all clients (default 20000)");
  add_quantity(*verb, "--settle", "TIME", parse_milliseconds, options->settle_ms,
               "Load before and after each move (default 1.5s)");
  add_quantity(*verb, "--bandwidth", "RATE", parse_rate_bytes_per_s, options->limits.bandwidth_bytes_per_s,
               "Most that a move sends, e.g. 1Gbit/s");
  verb->add_option("--json", options->json_path, "Write what was found; - for standard output")->type_name("FILE");
  verb->footer("Needs root. Exit status: 0 if every check held.");
  verb->callback([&chosen, options] { chosen.run = [options] { return run_demo(*options); }; });
}

}  // namespace godwit::cli
