#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "base/log.h"
#include "cli/screen.h"
#include "plugin/verbs.h"

namespace godwit::plugin {

void complain(const std::string& text) {
  const cli::Look look = cli::detect_look(STDERR_FILENO);
  const size_t width = look.live ? look.width - 1 : SIZE_MAX;  // a log wants one line
  for (const cli::Line& line : cli::wrap("kubectl godwit: " + text, width, 2)) {
    fmt::print(stderr, "{}\n", line.render(false));
  }
}

namespace {

// The error, and which help tells more: that of the verb, if one was named.
std::string usage_error(const CLI::App* app, const CLI::Error& error) {
  std::string command = app->get_name();
  for (const CLI::App* verb : app->get_subcommands()) command += " " + verb->get_name();
  return fmt::format("kubectl godwit: {}\nRun `{} --help`.\n", error.what(), command);
}

}  // namespace

int run_command_line(int argc, const char* const* argv, const std::string& version) {
  ::signal(SIGPIPE, SIG_IGN);
  set_log_name("kubectl-godwit");
  // What goes wrong on the way is told by the verb, between the lines of its screen.
  if (std::getenv("GODWIT_LOG") == nullptr) set_log_level(LogLevel::error);
  Chosen chosen;
  chosen.version = version;
  CLI::App app("Live migration of pods: moves them, and says what can be moved and why not.", "kubectl godwit");
  app.require_subcommand(0, 1);  // what is no verb is told as such; none at all below
  app.failure_message(usage_error);
  for (const auto add : {add_migrate, add_explain, add_watch, add_nodes, add_bundle, add_version}) add(app, chosen);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? cli::exit_ok : cli::exit_usage;
  }
  std::fflush(stdout);
  if (!chosen.run) {
    complain("say what to do: migrate, explain, watch, nodes, bundle or version; `kubectl godwit --help` tells more");
    return cli::exit_usage;
  }
  return chosen.run();
}

}  // namespace godwit::plugin
