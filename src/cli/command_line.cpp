#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "base/log.h"
#include "cli/verbs.h"

namespace godwit::cli {

void complain(const std::string& text) {
  const Look look = detect_look(STDERR_FILENO);
  const size_t width = look.live ? look.width : SIZE_MAX;  // a log wants one line
  for (const Line& line : wrap("godwit: " + text, width, 8)) fmt::print(stderr, "{}\n", line.render(false));
}

int run_command_line(int argc, char** argv, const std::string& version) {
  // A reader that goes away (`godwit migrate ... | head`) must not end a migration half watched.
  ::signal(SIGPIPE, SIG_IGN);
  set_log_name("godwit");
  Chosen chosen;
  chosen.version = version;
  CLI::App app("Moves running containers between nodes while their clients stay connected.", "godwit");
  app.require_subcommand(1);
  app.add_option("--socket", chosen.socket_path, "Unix socket of this node's agent")->type_name("PATH");
  for (const auto add :
       {add_demo, add_migrate, add_ps, add_sessions, add_inspect, add_cancel, add_abandon, add_load, add_version}) {
    add(app, chosen);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_ok : exit_usage;
  }
  std::fflush(stdout);
  return chosen.run();
}

}  // namespace godwit::cli
