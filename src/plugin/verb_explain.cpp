// `kubectl godwit explain`: whether a pod can be migrated, and why not.
#include <unistd.h>

#include <memory>

#include "api/names.h"
#include "controller/pod_claims.h"
#include "kube/json_path.h"
#include "plugin/cluster_options.h"
#include "plugin/explanation.h"
#include "plugin/reading.h"
#include "plugin/verbs.h"

namespace godwit::plugin {
namespace {

struct Options {
  ClusterOptions cluster;
  std::string pod;
};

ExitStatus refuse(const std::string& text) {
  complain(text);
  return exit_error;
}

std::vector<nlohmann::json> read_claims(kube::Client& client, const nlohmann::json& pod, const Regret& regret) {
  std::vector<nlohmann::json> claims;
  for (const std::string& name : controller::claims_of(pod)) {
    auto claim = client.get({kube::resources::persistent_volume_claims, kube::namespace_of(pod), name, ""},
                            kube::within(std::chrono::seconds(20)));
    if (claim) {
      claims.push_back(*std::move(claim));
    } else {
      regret("claim " + name, claim.error());
    }
  }
  return claims;
}

ExitStatus explain(const Options& options) {
  const auto name = name_of_argument(options.pod, kube::resources::pods);
  if (!name) return refuse(name.error().message);
  auto access = find_access(options.cluster);
  if (!access) return refuse(access.error().message);
  kube::Client client(*std::move(access));
  const std::string& space = client.access().namespace_name;
  const auto pod = client.get({kube::resources::pods, space, *name, ""}, kube::within(std::chrono::seconds(20)));
  if (!pod && pod.error().not_found()) {
    return refuse(fmt::format("there is no pod {} in namespace {}; -n names another namespace", *name, space));
  }
  if (!pod) return refuse(in_words(pod.error()));
  const Regret regret = [](const std::string& what, const kube::ApiError& error) {
    complain(fmt::format("{} cannot be read, so what they say is left out: {}", what, in_words(error)));
  };
  Surroundings around{.claims = read_claims(client, *pod, regret),
                      .nodes = read_all(client, kube::resources::nodes, {}, regret),
                      .templates = std::nullopt,
                      .pods = std::nullopt};
  if (around.nodes) {
    around.templates = read_all(client, api::node_templates, {}, regret);
    around.pods = read_all(client, kube::resources::pods, {}, regret);
  }
  const Explanation explanation = explain_pod(*pod, around);
  cli::Screen screen(STDOUT_FILENO, cli::detect_look(STDOUT_FILENO));
  screen.print(render_explanation(explanation, screen.look()));
  const auto eligible = explanation.eligible();
  return !eligible ? exit_error : *eligible ? cli::exit_ok : cli::exit_failed;
}

}  // namespace

void add_explain(CLI::App& app, Chosen& chosen) {
  CLI::App* verb =
      app.add_subcommand("explain", "Say whether a pod can be migrated: every requirement, and what to do");
  const auto options = std::make_shared<Options>();
  verb->add_option("POD", options->pod, "NAME or pod/NAME")->required()->type_name("");
  add_cluster_options(*verb, options->cluster);
  verb->footer("Exit status: 0 it can be migrated; 1 it cannot; 2 it is not known, or usage.");
  verb->callback([&chosen, options] { chosen.run = [options] { return explain(*options); }; });
}

}  // namespace godwit::plugin
