// godwit-cluster: a real Kubernetes cluster on this machine, for tests and for trying.
#include <signal.h>

#include <functional>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <CLI/CLI.hpp>

#include "cluster/cluster.h"
#include "cluster/faults.h"
#include "cluster/layout.h"
#include "lab/interrupt.h"
#include "lab/state.h"

namespace {

using godwit::Result;
using godwit::cluster::Cluster;
using godwit::cluster::ClusterOptions;

int print_error(const godwit::Error& error) {
  fmt::print(stderr, "godwit-cluster: {}\n", error.message);
  return 1;
}

int up(ClusterOptions options, bool foreground) {
  options.progress = [](const std::string& step) {
    fmt::print("{}\n", step);
    std::fflush(stdout);
  };
  auto cluster = Cluster::start(options);
  if (!cluster) return print_error(cluster.error());
  const std::string config = options.kubeconfig.empty() ? cluster->kubeconfig_path() : options.kubeconfig;
  fmt::print(
      "cluster \"{0}\" is up: {1} nodes, {2} network\n"
      "  kubectl --kubeconfig {3} get nodes\n"
      "  godwit-lab exec --name {0} node-1 -- COMMAND     run something on a node\n"
      "  godwit-cluster down --name {0}                   end it\n",
      cluster->name(), cluster->node_count(), to_string(cluster->plan().network), config);
  std::fflush(stdout);
  if (foreground) godwit::lab::wait_for_interrupt();
  const auto done = foreground ? cluster->stop() : cluster->detach();
  return done ? 0 : print_error(done.error());
}

int down(const std::string& name) {
  auto cluster = Cluster::attach(name);
  if (!cluster) return print_error(cluster.error());
  const auto stopped = cluster->stop();
  return stopped ? 0 : print_error(stopped.error());
}

int list() {
  godwit::lab::sweep_dead_labs();
  for (const std::string& name : godwit::cluster::living_clusters()) {
    const auto cluster = Cluster::attach(name);
    if (!cluster) continue;
    fmt::print("{:20} {} nodes, {} network, kubeconfig {}\n", name, cluster->node_count(),
               to_string(cluster->plan().network), cluster->kubeconfig_path());
  }
  return 0;
}

// HOST:NODE or HOST:NODE:ro
Result<godwit::lab::Bind> parse_bind(const std::string& text) {
  const size_t first = text.find(':');
  const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
  const std::string option = second == std::string::npos ? "" : text.substr(second + 1);
  if (first == std::string::npos || text[0] != '/' || text.substr(first, 2) != ":/" ||
      (second != std::string::npos && option != "ro")) {
    return godwit::fail("\"{}\" is no HOST:NODE or HOST:NODE:ro, with absolute paths", text);
  }
  return godwit::lab::Bind{.source = text.substr(0, first),
                           .target = text.substr(first + 1, second - first - 1),
                           .read_only = option == "ro"};
}

Result<> add_binds(ClusterOptions& options, const std::vector<std::string>& texts) {
  for (const std::string& text : texts) {
    GODWIT_ASSIGN(auto bind, parse_bind(text));
    options.binds.push_back(std::move(bind));
  }
  return {};
}

// The words of `up`.
struct UpWords {
  std::string network = "flat";
  std::string ip_family = "ipv4";
  std::vector<std::string> binds;
  bool foreground = false;
};

Result<> take_words(ClusterOptions& options, const UpWords& words) {
  GODWIT_ASSIGN(options.network, godwit::cluster::network_mode_from(words.network));
  options.dual_stack = words.ip_family == "dual";
  return add_binds(options, words.binds);
}

void add_up_options(CLI::App& verb, ClusterOptions& options, UpWords& words) {
  verb.add_option("--nodes", options.nodes, "Number of nodes")->capture_default_str();
  verb.add_option("--network", words.network, "flat: all pods in one L2 segment; routed: a range of addresses a node")
      ->check(CLI::IsMember({"flat", "routed"}))
      ->capture_default_str();
  verb.add_option("--ip-family", words.ip_family, "ipv4 or dual (with IPv6)")
      ->check(CLI::IsMember({"ipv4", "dual"}))
      ->capture_default_str();
  verb.add_option("--kubeconfig", options.kubeconfig, "Write the administrator's kubeconfig here, too");
  verb.add_option("--bind", words.binds, "HOST:NODE[:ro], a file or folder of the machine that all nodes see");
  verb.add_option("--live-runtime", options.live_runtime,
                  "What runs containers of the runtime class \"live\", in nodes")
      ->capture_default_str();
  verb.add_option("--kubernetes", options.kubernetes,
                  "Folder with the components (default: what `make kubernetes` built)");
  verb.add_flag("--foreground", words.foreground, "Stay until interrupted, then end the cluster");
}

// One verb of `fault`, for a node or another place.
struct FaultWords {
  std::string place;
  std::string component;
  godwit::cluster::SlowLink link;
  int milliseconds = 0;
};

int place_number(const Cluster& cluster, const std::string& name) {
  for (int i = 0; i <= cluster.node_count(); ++i) {
    if (godwit::lab::place_name(i) == name) return i;
  }
  return -1;
}

using Fault = std::function<Result<>(Cluster&, int place)>;

int do_fault(const std::string& cluster_name, const FaultWords& words, bool of_node, const Fault& fault) {
  auto cluster = Cluster::attach(cluster_name);
  if (!cluster) return print_error(cluster.error());
  const int place = place_number(*cluster, words.place);
  if (place < (of_node ? 1 : 0)) {
    return print_error(
        {fmt::format("cluster \"{}\" has no {} \"{}\"", cluster_name, of_node ? "node" : "place", words.place)});
  }
  const auto done = fault(*cluster, place);
  return done ? 0 : print_error(done.error());
}

Result<> signal_one(const Cluster& cluster, int place, const std::string& component, int signal) {
  return godwit::cluster::signal_component(cluster.place(place), component, signal);
}

void add_faults(CLI::App& app, std::string& name, FaultWords& words, int& status) {
  namespace cluster = godwit::cluster;
  CLI::App* fault_verb = app.add_subcommand("fault", "Do something to a cluster that it must survive, or undo it");
  fault_verb->require_subcommand(1);
  const auto add = [&, fault_verb](const char* verb_name, const char* what, bool of_component, const Fault& fault) {
    CLI::App* verb = fault_verb->add_subcommand(verb_name, what);
    verb->add_option("place", words.place,
                     of_component ? "node-1, node-2, ... or outside (the control plane)" : "node-1, node-2, ...")
        ->required();
    if (of_component)
      verb->add_option("component", words.component, "e.g. kubelet, containerd, kube-apiserver")->required();
    verb->add_option("--name", name, "Which cluster")->capture_default_str();
    verb->callback([&, of_component, fault] { status = do_fault(name, words, !of_component, fault); });
    return verb;
  };
  add("kill", "Kill a component", true, [&](Cluster& c, int p) { return cluster::kill(c, p, words.component); });
  add("restart", "Start a component, killed first if it runs", true,
      [&](Cluster& c, int p) { return cluster::restart(c, p, words.component); });
  add("stop", "Let a component hang (SIGSTOP)", true,
      [&](Cluster& c, int p) { return signal_one(c, p, words.component, SIGSTOP); });
  add("continue", "Let a component that hangs go on (SIGCONT)", true,
      [&](Cluster& c, int p) { return signal_one(c, p, words.component, SIGCONT); });
  add("kill-node", "Kill all that runs on a node, as a power cut", false, cluster::kill_node);
  add("restart-node", "Switch a killed node on again", false, cluster::restart_node);
  add("cut", "Pull a node's network cable", false, cluster::cut_network);
  add("heal", "Plug a node's network cable in again", false, cluster::heal_network);
  add("fill-disk", "Leave no room on a node's disk", false, cluster::fill_disk);
  add("free-disk", "Give a node's disk its size back", false, cluster::free_disk);
  CLI::App* slow = add("slow", "Make a node's network slow or bad; without options as it was", false,
                       [&](Cluster& c, int p) { return cluster::slow_link(c, p, words.link); });
  slow->add_option("--kbit", words.link.rate_kbit_s, "At most so many kbit/s in each direction");
  slow->add_option("--loss", words.link.loss_percent, "Lose so many percent of the packets");
  CLI::App* stall = fault_verb->add_subcommand("stall-api-server", "Let the API server hang for some time");
  stall->add_option("milliseconds", words.milliseconds, "How long")->required();
  stall->add_option("--name", name, "Which cluster")->capture_default_str();
  stall->callback([&] {
    words.place = godwit::lab::place_name(cluster::control_plane);
    status = do_fault(name, words, false, [&](Cluster& c, int) {
      return cluster::stall_api_server(c, std::chrono::milliseconds(words.milliseconds));
    });
  });
}

int command_line(int argc, char** argv) {
  CLI::App app{"A real Kubernetes cluster on this machine, for trying and testing Godwit.", "godwit-cluster"};
  app.require_subcommand(1);
  ClusterOptions options;
  options.name = "cluster";
  UpWords words;
  int status = 0;
  CLI::App* up_verb = app.add_subcommand("up", "Start a cluster");
  add_up_options(*up_verb, options, words);
  up_verb->callback([&] {
    const auto taken = take_words(options, words);
    status = taken ? up(options, words.foreground) : print_error(taken.error());
  });
  CLI::App* down_verb = app.add_subcommand("down", "End a cluster");
  down_verb->callback([&] { status = down(options.name); });
  app.add_subcommand("list", "Show the clusters on this machine, and remove what dead ones left")->callback([&] {
    status = list();
  });
  FaultWords fault_words;
  add_faults(app, options.name, fault_words, status);
  for (CLI::App* verb : {up_verb, down_verb}) {
    verb->add_option("--name", options.name, "Which cluster")->capture_default_str();
  }
  CLI11_PARSE(app, argc, argv);
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return command_line(argc, argv);
  } catch (const std::exception& error) {
    return print_error({error.what()});
  }
}
