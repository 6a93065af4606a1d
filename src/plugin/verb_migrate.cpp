// `kubectl godwit migrate`: moves a pod to another node and shows how.
#include <unistd.h>

#include <memory>

#include "api/names.h"
#include "cli/units.h"
#include "cli/verbs.h"
#include "kube/client.h"
#include "kube/json_path.h"
#include "plugin/cluster_options.h"
#include "plugin/follow.h"
#include "plugin/migration_request.h"
#include "plugin/verbs.h"

namespace godwit::plugin {
namespace {

constexpr auto call_time = std::chrono::seconds(20);

struct Options {
  ClusterOptions cluster;
  std::string pod;
  std::string to;
  MigrationRequest request;
  double timeout_ms = 0;  // 0: none
};

// So that a mistyped name is told before there is a Migration. That pods may not be read is no obstacle.
Result<> check_pod(kube::Client& client, const std::string& namespace_name, const std::string& name) {
  const auto pod = client.get({kube::resources::pods, namespace_name, name, ""}, kube::within(call_time));
  if (pod || pod.error().forbidden()) return {};
  if (!pod.error().not_found()) return fail("{}", in_words(pod.error()));
  return fail("there is no pod {} in namespace {}: `kubectl get pods -n {}` lists them, -n names another namespace",
              name, namespace_name, namespace_name);
}

ExitStatus not_created(const kube::ApiError& error, const std::string& namespace_name) {
  // It was sent, and what the server did with it is not known.
  const bool unknown = error.kind == kube::ApiErrorKind::transport || error.kind == kube::ApiErrorKind::timeout;
  if (unknown) {
    complain(fmt::format("whether a Migration was made is not known: {}; `kubectl get migrations -n {}` tells",
                         in_words(error), namespace_name));
    return cli::exit_unknown;
  }
  complain(fmt::format("no Migration was made: {}", in_words(error)));
  return cli::exit_failed;
}

ExitStatus status_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed:
      return cli::exit_ok;
    case Outcome::failed:
      return cli::exit_failed;
    case Outcome::unknown:
      break;
  }
  return cli::exit_unknown;
}

ExitStatus migrate(Options& options) {
  auto pod = name_of_argument(options.pod, kube::resources::pods);
  auto node = options.to.empty() ? Result<std::string>("") : name_of_argument(options.to, kube::resources::nodes);
  for (const auto* argument : {&pod, &node}) {
    if (*argument) continue;
    complain(argument->error().message);
    return cli::exit_usage;
  }
  options.request.pod = *std::move(pod);
  options.request.destination = *std::move(node);
  auto access = find_access(options.cluster);
  if (!access) {
    complain(access.error().message);
    return cli::exit_failed;
  }
  kube::Client client(*std::move(access));
  const std::string& space = client.access().namespace_name;
  if (const Result<> there = check_pod(client, space, options.request.pod); !there) {
    complain(there.error().message);
    return cli::exit_failed;
  }
  // A terminal that goes away leaves the migration to the controller; Ctrl-C cancels it, from here on.
  cli::Interrupts interrupts(/*hangup_too=*/false);
  const auto migration =
      client.create({api::migrations, space, "", ""}, make_migration(options.request, space), kube::within(call_time));
  if (!migration) return not_created(migration.error(), space);
  cli::Screen screen(STDOUT_FILENO, cli::detect_look(STDOUT_FILENO));
  screen.print(
      cli::Line(fmt::format("Migration {} in namespace {}", kube::name_of(*migration), space), cli::Tone::faint));
  FollowOptions follow_options;
  if (options.timeout_ms > 0) follow_options.timeout = milliseconds(std::llround(options.timeout_ms));
  return status_of(follow(client, *migration, follow_options, interrupts, screen));
}

}  // namespace

void add_migrate(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("migrate", "Move a pod to another node, and show how");
  const auto options = std::make_shared<Options>();
  MigrationRequest& request = options->request;
  verb->add_option("POD", options->pod, "NAME or pod/NAME")->required()->type_name("");
  verb->add_option("--to", options->to, "The node to move it to; chosen if left out")->type_name("NODE");
  cli::add_quantity(*verb, "--timeout", "TIME", cli::parse_duration_ms, options->timeout_ms,
                    "Cancel it if it is not over by then, e.g. 5m");
  verb->add_option("--network-mode", request.network_mode,
                   "Auto; Preserve keeps its address; Reconnect gives it a new one, and clients connect again")
      ->check(CLI::IsMember({"Auto", "Preserve", "Reconnect"}, CLI::ignore_case).description(""))
      ->type_name("MODE");
  verb->add_option("--optimize-for", request.optimize_for,
                   "FreezeTime: as short a pause as it gets; DumpTime: be done soon")
      ->check(CLI::IsMember({"FreezeTime", "DumpTime"}, CLI::ignore_case).description(""))
      ->type_name("WHAT");
  cli::add_number(*verb, "--iterations", request.iterations, 1, 1000, "Rounds of copying at most");
  cli::add_number(*verb, "--dirty-pages-threshold", request.dirty_pages_threshold, int64_t{0}, INT64_MAX,
                  "Freeze it once a round finds no more changed pages than this");
  cli::add_quantity(*verb, "--freeze-time", "MS", cli::parse_milliseconds, request.freeze_time_ms,
                    "Pause to aim at, e.g. 150ms");
  verb->add_flag("--without-tcp", request.without_tcp, "Close its TCP connections, for clients to connect again");
  add_cluster_options(*verb, options->cluster);
  verb->footer(
      "Ctrl-C deletes the Migration, which cancels it: the pod stays where it was.\n"
      "Exit status: 0 it moved; 1 it did not, and runs on where it was, or nothing was\n"
      "begun; 2 usage; 3 whether it moved is not known.");
  verb->callback([&chosen, options] { chosen.run = [options] { return migrate(*options); }; });
}

}  // namespace godwit::plugin
