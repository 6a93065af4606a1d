// `godwit migrate`: moves one container of this node to another node and shows how.
#include <unistd.h>

#include <memory>

#include "cli/node_names.h"
#include "cli/units.h"
#include "cli/verbs.h"

namespace godwit::cli {
namespace {

struct Options {
  std::string container;
  std::string to;
  std::string json_path;
  agent::MigrateOptions limits;
};

ExitStatus migrate(const std::string& socket_path, const Options& options) {
  Result<NodeAddress> node = resolve_node(options.to);
  if (!node) {
    complain(node.error().message);
    return exit_usage;
  }
  const agent::MigrateRequest request{options.container, node->address, node->name, options.limits};
  // A terminal that goes away leaves the migration to the agent; Ctrl-C cancels it.
  Interrupts interrupts(/*hangup_too=*/false);
  const int output = output_for_people(options.json_path);
  Screen screen(output, detect_look(output));
  MigrationRecord record;
  if (const Result<> ran = run_migration(socket_path, request, interrupts, screen, record); !ran) {
    complain(ran.error().message);
    return exit_failed;
  }
  if (!options.json_path.empty()) {
    if (const Result<> written = write_json(options.json_path, record_json(record)); !written) {
      complain(written.error().message);
      return record.result && record.result->ok ? exit_failed : exit_status_of(record);
    }
  }
  return exit_status_of(record);
}

}  // namespace

void add_migrate(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("migrate", "Move a container of this node to another node");
  const auto options = std::make_shared<Options>();
  agent::MigrateOptions& limits = options->limits;
  verb->add_option("CONTAINER", options->container, "As `godwit ps` lists it")->required()->type_name("");
  verb->add_option("--to", options->to, "A name of /etc/godwit/nodes or ADDRESS[:PORT]")->required()->type_name("NODE");
  add_quantity(*verb, "--bandwidth", "RATE", parse_rate_bytes_per_s, limits.bandwidth_bytes_per_s,
               "Most that is sent, e.g. 1Gbit/s or 200MB/s");
  add_number(*verb, "--lanes", limits.lanes, uint64_t{1}, agent::lanes_max, "Connections that carry pages");
  add_quantity(*verb, "--page-store", "SIZE", parse_size_bytes, limits.page_store_bytes,
               "Most memory for pages at the destination");
  add_quantity(*verb, "--deadline", "TIME", parse_duration_ms, limits.deadline_ms,
               "Give up if it has not moved by then, e.g. 5m");
  add_number(*verb, "--iterations", limits.iterations, uint64_t{1}, agent::iterations_max, "Pre-copy rounds at most");
  add_quantity(*verb, "--freeze-time", "MS", parse_milliseconds, limits.freeze_time_ms, "Pause to aim at, e.g. 40ms");
  verb->add_option("--json", options->json_path, "Write what happened; - for standard output")->type_name("FILE");
  verb->footer(
      "Ctrl-C cancels: the container stays where it was.\n"
      "Exit status: 0 it moved; 1 it did not, and runs on where it was; 2 usage;\n"
      "3 whether it moved is not known; 4 it is lost: it runs on neither node.");
  verb->callback(
      [&chosen, options] { chosen.run = [&chosen, options] { return migrate(chosen.socket_path, *options); }; });
}

}  // namespace godwit::cli
