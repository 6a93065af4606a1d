// `godwit inspect`: one migration, finished or not, as it was or would have been shown.
#include <unistd.h>

#include <memory>

#include "cli/agent_client.h"
#include "cli/migration_view.h"
#include "cli/verbs.h"

namespace godwit::cli {
namespace {

constexpr milliseconds answer_max{15000};

struct Options {
  std::string session;
  std::string json_path;
};

ExitStatus inspect(const std::string& socket_path, const Options& options) {
  MigrationRecord record;
  std::vector<agent::Event> events;
  const Result<agent::ResultEvent> result = ask_agent(socket_path, agent::InspectRequest{options.session},
                                                      Deadline::after(answer_max), [&](const agent::Event& event) {
                                                        record.on_event(event);
                                                        if (events.size() < MigrationRecord::entries_max)
                                                          events.push_back(event);
                                                      });
  if (!result || result->session.empty()) {
    complain(result ? result->reason : result.error().message);
    return exit_failed;
  }
  const bool ended = !result->unknown;
  const int output = output_for_people(options.json_path);
  Look look = detect_look(output);
  look.live = false;
  Screen screen(output, look);
  MigrationView view(result->container);
  for (const agent::Event& event : events) {
    if (!ended && std::holds_alternative<agent::ResultEvent>(event)) break;
    view.on_event(event, 0, look);
  }
  if (!ended) view.note(result->reason, look, Tone::strong);
  screen.print(view.take_finished());
  if (options.json_path.empty()) return exit_ok;
  if (const Result<> written = write_json(options.json_path, record_json(record)); !written) {
    complain(written.error().message);
    return exit_failed;
  }
  return exit_ok;
}

}  // namespace

void add_inspect(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("inspect", "Show one migration: rounds, pause, outcome");
  const auto options = std::make_shared<Options>();
  verb->add_option("SESSION", options->session, "As `godwit sessions` lists it")->required()->type_name("");
  verb->add_option("--json", options->json_path, "Write it to a file too; - for standard output")->type_name("FILE");
  verb->callback(
      [&chosen, options] { chosen.run = [&chosen, options] { return inspect(chosen.socket_path, *options); }; });
}

}  // namespace godwit::cli
