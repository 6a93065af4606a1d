// `godwit cancel`: ends a migration where that is still possible; the container then stays where it was.
#include <memory>

#include "cli/agent_client.h"
#include "cli/verbs.h"

namespace godwit::cli {
namespace {

constexpr milliseconds answer_max{15000};

ExitStatus cancel(const std::string& socket_path, const std::string& session) {
  const Result<agent::ResultEvent> result =
      ask_agent(socket_path, agent::CancelRequest{session}, Deadline::after(answer_max), [](const agent::Event&) {});
  if (!result || !result->ok) {
    complain(result ? result->reason : result.error().message);
    return exit_failed;
  }
  fmt::print("Asked session {} to cancel; `godwit inspect {}` shows how it ends.\n", session, session);
  return exit_ok;
}

}  // namespace

void add_cancel(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("cancel", "Cancel a migration; the container stays where it was");
  const auto session = std::make_shared<std::string>();
  verb->add_option("SESSION", *session, "As `godwit sessions` lists it")->required()->type_name("");
  verb->callback(
      [&chosen, session] { chosen.run = [&chosen, session] { return cancel(chosen.socket_path, *session); }; });
}

}  // namespace godwit::cli
