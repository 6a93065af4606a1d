// `godwit ps`: the containers of this node.
#include <unistd.h>

#include "cli/agent_client.h"
#include "cli/table.h"
#include "cli/units.h"
#include "cli/verbs.h"

namespace godwit::cli {
namespace {

constexpr milliseconds answer_max{15000};

ExitStatus ps(const std::string& socket_path) {
  agent::ContainersEvent listed;
  const Result<agent::ResultEvent> result =
      ask_agent(socket_path, agent::PsRequest{}, Deadline::after(answer_max), [&](const agent::Event& event) {
        if (const auto* containers = std::get_if<agent::ContainersEvent>(&event)) listed = *containers;
      });
  if (!result || !result->ok) {
    complain(result ? result->reason : result.error().message);
    return exit_failed;
  }
  std::vector<std::vector<std::string>> rows;
  for (const agent::ContainerInfo& info : listed.containers) {
    rows.push_back({info.name, info.state, std::to_string(info.pid), format_bytes(info.memory_bytes),
                    info.address.empty() ? "-" : info.address, info.session.empty() ? "-" : info.session});
  }
  Screen screen(STDOUT_FILENO, detect_look(STDOUT_FILENO));
  screen.print(render_table(
      {{"CONTAINER"}, {"STATE"}, {"PID", Align::right}, {"MEMORY", Align::right}, {"ADDRESS"}, {"SESSION"}}, rows));
  return exit_ok;
}

}  // namespace

void add_ps(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("ps", "List this node's containers");
  verb->callback([&chosen] { chosen.run = [&chosen] { return ps(chosen.socket_path); }; });
}

}  // namespace godwit::cli
