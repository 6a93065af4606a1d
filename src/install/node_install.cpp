#include "install/node_install.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "install/cgroups.h"
#include "install/containerd_service.h"
#include "install/host.h"
#include "install/node_certificate.h"
#include "install/node_files.h"
#include "install/prerequisites.h"
#include "install/sessions.h"
#include "kube/client.h"
#include "kube/cluster_access.h"
#include "os/file.h"

namespace godwit::install {
namespace {

using std::chrono::seconds;

constexpr auto node_time = seconds(120);  // for containerd to be restarted on a busy node
constexpr auto certificate_time = seconds(60);
constexpr auto follow_interval = seconds(10);
constexpr auto certificate_interval = seconds(120);
constexpr auto agent_end_time = seconds(10);
constexpr auto session_poll = milliseconds(500);
constexpr auto settling_time = seconds(5);
constexpr const char* tasks = "/run/containerd/io.containerd.runtime.v2.task";
constexpr const char* run_directory = "/run/godwit";
constexpr const char* certificates = "/run/godwit/certificates";
constexpr const char* state_directory = "/var/lib/godwit";

// As `work` on the node needs it, which runs in a child and has no other way to see the image.
NodeFiles files_of(const NodeOptions& options, const Containerd& containerd, Effective effective, pid_t pod) {
  if (!options.cni_configurations.empty()) effective.cni_configurations = options.cni_configurations;
  if (!options.cni_programs.empty()) effective.cni_programs = {options.cni_programs};
  return NodeFiles({.source = seen_from_node(pod, options.source),
                    .directory = options.directory,
                    .config_path = containerd.config_path,
                    .containerd = std::move(effective),
                    .version = GODWIT_VERSION});
}

Result<Containerd> containerd_of(const NodeOptions& options) {
  GODWIT_ASSIGN(Containerd containerd, find_containerd());
  if (!options.containerd_config.empty()) containerd.config_path = options.containerd_config;
  return containerd;
}

Result<> install_on_node(const NodeOptions& options, pid_t pod) {
  const Deadline deadline = Deadline::after(node_time);
  GODWIT_TRY(check_programs());
  GODWIT_ASSIGN(const Containerd containerd, containerd_of(options));
  GODWIT_ASSIGN(const Effective effective, ask_containerd(containerd, deadline));
  NodeFiles files = files_of(options, containerd, effective, pod);
  GODWIT_ASSIGN(const bool restart, files.install());
  GODWIT_TRY(check_agent(options.directory + "/godwit-agent"));
  if (!restart) return {};
  // A file that containerd cannot read would keep it from coming back.
  auto asked = ask_containerd(containerd, deadline);
  if (!asked) return std::unexpected(std::move(asked.error()).context("with Godwit's handler"));
  if (asked->handler_program.empty()) {
    return fail("containerd does not read {}: does it run with {}?", containerd.config_path, containerd.config_path);
  }
  GODWIT_TRY(restart_containerd(containerd, options.containerd_restart, asked->socket, deadline));
  return files.told_restarted();
}

Result<> follow_on_node(const NodeOptions& options, pid_t pod) {
  GODWIT_ASSIGN(const Containerd containerd, containerd_of(options));
  GODWIT_ASSIGN(const Effective effective, ask_containerd(containerd, Deadline::after(node_time)));
  GODWIT_ASSIGN(const bool changed, files_of(options, containerd, effective, pod).follow());
  if (changed) log_info("followed a change of containerd's or the network's configuration");
  return {};
}

Result<> withdraw_on_node(const NodeOptions& options) {
  const Deadline patience = Deadline::after(options.sessions_patience);
  for (bool told = false;; told = true) {
    GODWIT_ASSIGN(const size_t sessions, sessions_under_way());
    if (sessions == 0) break;
    if (!told) log_info("waiting for {} migrations of this node", sessions);
    if (patience.expired()) return fail("{} migrations of this node are not over yet", sessions);
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(session_poll).count()));
  }
  const std::string runtime = options.directory + "/godwit-runc";
  GODWIT_ASSIGN(const bool restart, NodeFiles::take_back(options.directory));
  // Pods that are just ending.
  for (const Deadline settled = Deadline::after(settling_time); !settled.expired();) {
    if (!runs_containers(tasks, runtime)) break;
    ::usleep(static_cast<useconds_t>(std::chrono::microseconds(session_poll).count()));
  }
  // A containerd that has forgotten the handler runs nothing more in the pods that it made, not even a probe. So it
  // keeps it, in its memory, as long as there are any and it is not restarted by others.
  if (runs_containers(tasks, runtime)) {
    log_info("pods of the runtime class live go on; {} goes with the last of them", runtime);
  } else if (restart) {
    const Deadline deadline = Deadline::after(node_time);
    GODWIT_ASSIGN(const Containerd containerd, containerd_of(options));
    GODWIT_ASSIGN(const Effective effective, ask_containerd(containerd, deadline));
    GODWIT_TRY(restart_containerd(containerd, options.containerd_restart, effective.socket, deadline));
  }
  GODWIT_TRY(NodeFiles::remove_rest(options.directory, tasks));
  GODWIT_TRY(os::remove_tree(run_directory));
  // Only if they are empty: what else is there is not ours to throw away.
  ::rmdir((std::string(state_directory) + "/containers").c_str());
  ::rmdir(state_directory);
  remove_own_cgroup();
  return {};
}

void wait_for_end(const sigset_t& signals) {
  int number = 0;
  ::sigwait(&signals, &number);
}

Result<std::string> pods_namespace(const NodeOptions& options, const kube::ClusterAccess& access) {
  if (!options.namespace_name.empty()) return options.namespace_name;
  return access.namespace_name;
}

sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, number);
  ::sigprocmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

// True: it has ended.
bool reap(pid_t agent) {
  return ::waitpid(agent, nullptr, WNOHANG) == agent;
}

Result<> end_agent(pid_t agent) {
  ::kill(agent, SIGTERM);
  for (const Deadline deadline = Deadline::after(agent_end_time); !deadline.expired();) {
    if (reap(agent)) return {};
    ::usleep(20'000);
  }
  return fail("the agent does not end");
}

}  // namespace

Result<> run_node(const NodeOptions& options) {
  const sigset_t signals = block_signals();
  const pid_t pod = ::getpid();
  GODWIT_TRY(os::remove_tree(ready_path));
  GODWIT_ASSIGN(const kube::ClusterAccess access, kube::in_cluster_access());
  GODWIT_ASSIGN(const std::string space, pods_namespace(options, access));
  kube::Client client(access);
  const CertificatePlaces places{
      .node = options.node, .namespace_name = space, .directory = std::string("/proc/1/root") + certificates};
  GODWIT_TRY(on_node([&] { return install_on_node(options, pod); }));
  GODWIT_TRY(on_node([&] { return os::make_directories(run_directory, 0700); }));
  GODWIT_TRY(keep_certificate(client, places, Deadline::after(certificate_time)));
  const std::string directory = certificates;
  std::vector<std::string> argv = {options.directory + "/godwit-agent",
                                   "--node",
                                   options.node,
                                   "--runc-root",
                                   options.runc_root,
                                   "--ca",
                                   directory + "/ca.pem",
                                   "--certificate",
                                   directory + "/node.pem",
                                   "--key",
                                   directory + "/node.key"};
  argv.insert(argv.end(), options.agent_arguments.begin(), options.agent_arguments.end());
  GODWIT_ASSIGN(const pid_t agent, start_on_node(argv));
  GODWIT_TRY(os::write_file_atomic(ready_path, ""));
  auto certificate_due = Clock::now() + certificate_interval;
  for (;;) {
    const timespec pause{.tv_sec = follow_interval.count(), .tv_nsec = 0};
    const int number = ::sigtimedwait(&signals, nullptr, &pause);
    if (number == SIGTERM || number == SIGINT) return end_agent(agent);
    if (reap(agent)) return fail("the agent has ended");
    if (number == SIGCHLD) continue;
    const auto followed = on_node([&] { return follow_on_node(options, pod); });
    if (!followed) log_warning("{}", followed.error().message);
    if (Clock::now() < certificate_due) continue;
    certificate_due = Clock::now() + certificate_interval;
    const auto kept = keep_certificate(client, places, Deadline::after(certificate_time));
    if (!kept) log_warning("certificate: {}", kept.error().message);
  }
}

Result<> withdraw_node(const NodeOptions& options) {
  sigset_t signals = block_signals();
  GODWIT_TRY(os::remove_tree(ready_path));
  GODWIT_TRY(on_node([&] { return withdraw_on_node(options); }));
  log_info("nothing of Godwit is left on node {}", options.node);
  GODWIT_TRY(os::write_file_atomic(ready_path, ""));
  sigdelset(&signals, SIGCHLD);
  wait_for_end(signals);
  return {};
}

}  // namespace godwit::install
