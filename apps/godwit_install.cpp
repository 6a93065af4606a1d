// godwit-install: Godwit's part of a cluster's nodes, in the pods of its DaemonSet (src/install/node_install.h), and
// the end of an installation (src/install/withdrawal.h).
#include <signal.h>

#include <CLI/CLI.hpp>

#include "base/log.h"
#include "install/node_install.h"
#include "install/withdrawal.h"
#include "kube/cluster_access.h"
#include "os/file.h"

namespace godwit::install {
namespace {

Result<> end_installation(const std::string& kubeconfig, WithdrawalOptions options) {
  GODWIT_ASSIGN(const kube::ClusterAccess access, kube::find_cluster_access({.path = kubeconfig}));
  if (options.namespace_name.empty()) options.namespace_name = access.namespace_name;
  kube::Client client(access);
  return withdraw(client, options);
}

void add_node_options(CLI::App& verb, NodeOptions& options) {
  verb.add_option("--node", options.node, "name of this node")->envname("NODE_NAME")->required();
  verb.add_option("--directory", options.directory, "where Godwit's programs are on the node")->capture_default_str();
  verb.add_option("--containerd-config", options.containerd_config,
                  "containerd's main file; by default the one that it was started with");
  verb.add_option("--containerd-restart", options.containerd_restart,
                  "shell command, run on the node, that restarts containerd; by default its systemd unit");
}

int main_with_errors(int argc, char** argv) {
  NodeOptions node;
  WithdrawalOptions withdrawal;
  std::string kubeconfig;
  int migrations_minutes = 5;
  int nodes_minutes = 5;
  CLI::App app{"godwit-install: puts Godwit on the nodes of a cluster, and takes it away again"};
  app.require_subcommand(1);
  CLI::App* run = app.add_subcommand("run-node", "install on this node, and run its agent until SIGTERM");
  add_node_options(*run, node);
  run->add_option("--source", node.source, "the programs, in this container")->capture_default_str();
  run->add_option("--namespace", node.namespace_name, "Godwit's; by default the pod's");
  run->add_option("--cni-configurations", node.cni_configurations, "directory; by default as containerd says");
  run->add_option("--cni-programs", node.cni_programs, "directory; by default as containerd says");
  run->add_option("--runc-root", node.runc_root, "where containerd keeps runc's state")->capture_default_str();
  run->add_option("--agent-argument", node.agent_arguments, "a further one for godwit-agent; may be repeated");
  CLI::App* leave = app.add_subcommand("withdraw-node", "take everything off this node, then wait for SIGTERM");
  add_node_options(*leave, node);
  leave->allow_extras();  // those of run-node, which it is called in the place of
  CLI::App* ready = app.add_subcommand("ready", "whether that, in this container, has done its work");
  CLI::App* end = app.add_subcommand("withdraw", "end the installation: nodes, labels, what the controllers made");
  end->add_option("--namespace", withdrawal.namespace_name, "Godwit's; by default the pod's");
  end->add_option("--migrations-minutes", migrations_minutes, "how long to wait for migrations that are under way")
      ->check(CLI::Range(0, 24 * 60))
      ->capture_default_str();
  end->add_option("--nodes-minutes", nodes_minutes, "how long to wait for the nodes")
      ->check(CLI::Range(1, 24 * 60))
      ->capture_default_str();
  end->add_option("--kubeconfig", kubeconfig, "instead of the pod's service account");
  CLI11_PARSE(app, argc, argv);
  set_log_name("install");
  ::signal(SIGPIPE, SIG_IGN);
  Result<> done;
  if (run->parsed()) {
    done = run_node(node);
  } else if (leave->parsed()) {
    done = withdraw_node(node);
  } else if (end->parsed()) {
    withdrawal.migrations_patience = std::chrono::minutes(migrations_minutes);
    withdrawal.nodes_patience = std::chrono::minutes(nodes_minutes);
    done = end_installation(kubeconfig, withdrawal);
  } else if (ready->parsed() && !os::exists(ready_path)) {
    return 1;
  }
  if (done) return 0;
  log_error("{}", done.error().message);
  return 1;
}

}  // namespace
}  // namespace godwit::install

int main(int argc, char** argv) {
  return godwit::install::main_with_errors(argc, argv);
}
