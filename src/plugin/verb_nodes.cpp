// `kubectl godwit nodes`: which nodes are enabled for live migration, and why others are not.
#include <unistd.h>

#include <memory>

#include "api/names.h"
#include "plugin/cluster_options.h"
#include "plugin/node_report.h"
#include "plugin/reading.h"
#include "plugin/verbs.h"

namespace godwit::plugin {
namespace {

ExitStatus nodes(const ClusterOptions& options) {
  auto access = find_access(options);
  if (!access) {
    complain(access.error().message);
    return cli::exit_failed;
  }
  kube::Client client(*std::move(access));
  const Regret regret = [](const std::string& what, const kube::ApiError& error) {
    complain(fmt::format("{} cannot be read: {}", what, in_words(error)));
  };
  const auto all = read_all(client, kube::resources::nodes, {}, regret);
  if (!all) return cli::exit_failed;
  const auto templates = read_all(client, api::node_templates, {}, regret);
  const Regret agents_regret = [](const std::string&, const kube::ApiError& error) {
    complain(fmt::format("the agents' pods cannot be read, so their state is left out: {}", in_words(error)));
  };
  const auto agents = read_all(client, kube::resources::pods, {.label_selector = agent_pods}, agents_regret);
  cli::Screen screen(STDOUT_FILENO, cli::detect_look(STDOUT_FILENO));
  screen.print(render_nodes(report_nodes(*all, templates, agents), screen.look()));
  return cli::exit_ok;
}

}  // namespace

void add_nodes(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("nodes", "List the nodes: enabled for live migration or not, and why");
  const auto options = std::make_shared<ClusterOptions>();
  add_cluster_options(*verb, *options);
  verb->callback([&chosen, options] { chosen.run = [options] { return nodes(*options); }; });
}

}  // namespace godwit::plugin
