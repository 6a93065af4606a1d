// `godwit sessions`: the migrations that this node takes or took part in.
#include <unistd.h>

#include "cli/agent_client.h"
#include "cli/table.h"
#include "cli/units.h"
#include "cli/verbs.h"

namespace godwit::cli {
namespace {

constexpr milliseconds answer_max{15000};

ExitStatus sessions(const std::string& socket_path) {
  agent::SessionsEvent listed;
  const Result<agent::ResultEvent> result =
      ask_agent(socket_path, agent::SessionsRequest{}, Deadline::after(answer_max), [&](const agent::Event& event) {
        if (const auto* list = std::get_if<agent::SessionsEvent>(&event)) listed = *list;
      });
  if (!result || !result->ok) {
    complain(result ? result->reason : result.error().message);
    return exit_failed;
  }
  std::vector<std::vector<std::string>> rows;
  for (const agent::SessionInfo& info : listed.sessions) {
    rows.push_back({info.session, info.container, info.role, info.from, info.to,
                    std::string(agent::phase_name(info.phase)), format_ms(info.age_s * 1000),
                    info.pause_ms > 0 ? format_ms(info.pause_ms) : "-"});
  }
  Screen screen(STDOUT_FILENO, detect_look(STDOUT_FILENO));
  const Lines table = render_table({{"SESSION"},
                                    {"CONTAINER"},
                                    {"ROLE"},
                                    {"FROM"},
                                    {"TO"},
                                    {"PHASE"},
                                    {"AGE", Align::right},
                                    {"PAUSE", Align::right}},
                                   rows);
  screen.print(table[0]);
  for (size_t i = 0; i < listed.sessions.size(); ++i) {
    screen.print(table[i + 1]);
    const std::string& reason = listed.sessions[i].reason;
    if (!reason.empty()) screen.print(wrap("  " + reason, screen.look().width - 1, 2, Tone::bad));
  }
  return exit_ok;
}

}  // namespace

void add_sessions(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("sessions", "List this node's migrations, ended ones too");
  verb->callback([&chosen] { chosen.run = [&chosen] { return sessions(chosen.socket_path); }; });
}

}  // namespace godwit::cli
