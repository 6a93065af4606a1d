// `godwit abandon`: ends a migration whose destination died after the hand-over and will not come back. The agent never
// does this by itself: it cannot tell a dead node from one that it cannot reach.
#include <unistd.h>

#include <memory>
#include <thread>

#include "cli/agent_client.h"
#include "cli/verbs.h"

namespace godwit::cli {
namespace {

constexpr milliseconds answer_max{15000};
constexpr milliseconds end_max{30000};
constexpr milliseconds poll_interval{100};

struct Options {
  std::string session;
  bool destination_is_dead = false;
  bool keep = false;
  bool end = false;
};

constexpr const char* warning =
    "This session was handed over: its container may be running on the destination now. If that node is only cut off, "
    "or "
    "comes back with its containers, a copy that goes on here is a SECOND one: two answer under one address, and their "
    "data part for good. Power the destination off, or fence it, first. Then say so: --destination-is-dead.";

Result<agent::ResultEvent> outcome(const std::string& socket_path, const std::string& session) {
  const Deadline deadline = Deadline::after(end_max);
  for (;;) {
    auto result = ask_agent(socket_path, agent::InspectRequest{session}, deadline, [](const agent::Event&) {});
    if (!result || !result->unknown) return result;
    if (deadline.expired()) return fail("the session has not ended yet; see `godwit inspect {}`", session);
    std::this_thread::sleep_for(poll_interval);
  }
}

ExitStatus abandon(const std::string& socket_path, const Options& options) {
  if (!options.destination_is_dead) {
    complain(warning);
    return exit_usage;
  }
  const Result<agent::ResultEvent> asked =
      ask_agent(socket_path, agent::AbandonRequest{.session = options.session, .keep = options.keep},
                Deadline::after(answer_max), [](const agent::Event&) {});
  if (!asked || !asked->ok) {
    complain(asked ? asked->reason : asked.error().message);
    return exit_failed;
  }
  const Result<agent::ResultEvent> ended = outcome(socket_path, options.session);
  if (!ended) {
    complain(ended.error().message);
    return exit_failed;
  }
  fmt::print("{}\n", ended->lost ? "The frozen copy is ended; the container runs nowhere."
                                 : "The container runs here again, as it was when it was frozen.");
  // Somebody else's word may have come first: that it runs there, or never did.
  return ended->lost == options.end && !ended->ok ? exit_ok : exit_failed;
}

}  // namespace

void add_abandon(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("abandon", "End a migration whose destination is dead for good");
  const auto options = std::make_shared<Options>();
  verb->add_option("SESSION", options->session, "As `godwit sessions` lists it")->required()->type_name("");
  verb->add_flag("--destination-is-dead", options->destination_is_dead,
                 "You know that its node is off and that nothing runs there");
  CLI::Option_group* decision = verb->add_option_group("What becomes of the copy that is frozen here");
  decision->add_flag("--keep", options->keep, "It goes on, as it was when it was frozen");
  decision->add_flag("--end", options->end, "It is ended");
  decision->require_option(1);
  verb->footer(
      std::string(warning) +
      "\n\n--keep: what the container did at the destination, before that died, is undone; clients may have been\n"
      "told otherwise. --end: it runs nowhere after that.\n"
      "Exit status: 0 it is as you said; 1 it is not; 2 usage.");
  verb->callback(
      [&chosen, options] { chosen.run = [&chosen, options] { return abandon(chosen.socket_path, *options); }; });
}

}  // namespace godwit::cli
