// godwit-controller: the live controller (src/controller/controller.h).
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "controller/live_controller.h"
#include "kube/cluster_access.h"

namespace godwit::controller {
namespace {

struct Options {
  kube::KubeconfigChoice kubeconfig;
  std::string ca = "/etc/godwit/ca.pem";
  std::string certificate = "/etc/godwit/controller.pem";
  std::string key = "/etc/godwit/controller.key";
  std::string lease_namespace;
  std::string own_authority;
  int certificate_hours = 168;
  ControllerOptions controller;
  AssessmentOptions assessment;
  std::string admission_address;
  uint16_t admission_port = 9443;
};

Result<> run(const Options& options) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT}) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  GODWIT_ASSIGN(const kube::ClusterAccess access, kube::find_cluster_access(options.kubeconfig));
  const std::string space = options.lease_namespace.empty() ? access.namespace_name : options.lease_namespace;
  kube::Client client(access);
  std::optional<AuthorityKeeper> authority;
  if (!options.own_authority.empty()) {
    AuthorityKeeperOptions keeping{.namespace_name = space, .directory = options.own_authority};
    keeping.terms.certificate_life = std::chrono::hours(options.certificate_hours);
    authority.emplace(client, keeping);
    GODWIT_TRY(authority->step({}));
  }
  GODWIT_ASSIGN(
      transfer::TlsIdentity identity,
      authority ? authority->identity() : transfer::TlsIdentity::load(options.ca, options.certificate, options.key));
  char host[256] = {};
  ::gethostname(host, sizeof host - 1);
  kube::EventRecorder events(client, {.source = {.controller = "live.cast.ai/controller", .instance = host}});
  AgentLink agents(std::move(identity));
  Arrivals arrivals(client);
  if (!options.admission_address.empty()) {
    GODWIT_TRY(arrivals.serve(options.admission_address, options.admission_port));
  } else {
    log_warning("without --admission-address pods of StatefulSets cannot be moved");
  }
  PlannedMoves moves;
  const RunContext context{.client = client, .events = events, .agents = agents, .moves = moves, .arrivals = &arrivals};
  LiveController controller(context, {.controller = options.controller,
                                      .assessment = options.assessment,
                                      .election = election_options(space),
                                      .authority = authority ? &*authority : nullptr});
  if (authority) {
    authority->start([&](transfer::TlsIdentity fresh) { agents.replace_identity(std::move(fresh)); });
  }
  controller.start();
  log_info("the live controller works with {}; its Lease is {}/{}", access.source, space, lease_name);
  int number = 0;
  ::sigwait(&signals, &number);
  controller.stop();
  if (authority) authority->stop();
  return {};
}

int main_with_errors(int argc, char** argv) {
  Options options;
  CLI::App app{"godwit-controller: labels what can be migrated, and carries Migrations through"};
  app.add_option("--kubeconfig", options.kubeconfig.path, "instead of the pod's service account");
  app.add_option("--ca", options.ca, "certificate authority of all agents")->capture_default_str();
  app.add_option("--certificate", options.certificate, "the controller's certificate")->capture_default_str();
  app.add_option("--key", options.key, "its key")->capture_default_str();
  app.add_option("--own-authority", options.own_authority,
                 "be the certificate authority of all agents, and keep the controller's own certificate in this "
                 "directory (in memory); instead of --ca, --certificate and --key");
  app.add_option("--certificate-hours", options.certificate_hours,
                 "how long certificates of agents are good; renewed when a third of it is left")
      ->check(CLI::Range(1, 24 * 365))
      ->capture_default_str();
  app.add_option("--migrations-max", options.controller.migrations_max, "migrations at once")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  app.add_option("--lease-namespace", options.lease_namespace, "where replicas elect their leader; by default our own");
  app.add_option("--patches-per-second", options.assessment.patches_per_s, "labels and statuses written at most")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  app.add_option("--admission-address", options.admission_address,
                 "numeric address by which API servers reach this replica; they ask it about pods of StatefulSets that "
                 "move")
      ->envname("POD_IP");
  app.add_option("--admission-port", options.admission_port, "its port")->capture_default_str();
  app.add_option_function<uint32_t>(
         "--address-interval",
         [&](uint32_t seconds) { options.assessment.addresses.interval = std::chrono::seconds(seconds); },
         "seconds between questions to an agent about addresses of moved pods (default: 60)")
      ->check(CLI::Range(1, 3600));
  CLI11_PARSE(app, argc, argv);
  set_log_name("controller");
  ::signal(SIGPIPE, SIG_IGN);
  const auto done = run(options);
  if (done) return 0;
  log_error("{}", done.error().message);
  return 1;
}

}  // namespace
}  // namespace godwit::controller

int main(int argc, char** argv) {
  return godwit::controller::main_with_errors(argc, argv);
}
