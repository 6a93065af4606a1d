// godwit-agent: the node daemon, and (by the `worker` arguments that it gives itself) the worker of one session.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "agent/destination_worker.h"
#include "agent/remote_command.h"
#include "agent/source_worker.h"
#include "agent/supervisor.h"
#include "agent/worker_arguments.h"
#include "base/log.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

Result<> recover(const AgentConfig& config, const SessionDirectory& session, std::unique_ptr<EventLog> events) {
  GODWIT_ASSIGN(const nlohmann::json about, session.session());
  GODWIT_ASSIGN(const std::optional<nlohmann::json> record, session.record());
  if (about.value("role", "") == "source") {
    std::optional<SourceRecord> parsed;
    if (record) {
      GODWIT_ASSIGN(parsed, source_record_from_json(*record));
    }
    return SourceWorker(config, session, std::move(events)).recover(parsed);
  }
  std::optional<DestinationRecord> parsed;
  if (record) {
    GODWIT_ASSIGN(parsed, destination_record_from_json(*record));
  }
  return DestinationWorker(config, session, std::move(events)).recover(parsed);
}

Result<> run_worker(const AgentConfig& config, const std::string& mode, const std::string& session_id) {
  set_log_name(mode + " " + session_id.substr(0, 8));
  // The supervisor could not hand it over otherwise; but it is not for the programs that we start.
  if (mode != "recover") ::fcntl(worker_connection_fd, F_SETFD, FD_CLOEXEC);
  if (mode == "command") {
    ::fcntl(worker_admission_fd, F_SETFD, FD_CLOEXEC);
    return carry_command(config, session_id, UniqueFd(worker_connection_fd), UniqueFd(worker_admission_fd));
  }
  if (mode == "answer") return answer_from_record(config, session_id, UniqueFd(worker_connection_fd));
  GODWIT_ASSIGN(const SessionDirectory session, SessionDirectory::open(session_id));
  GODWIT_ASSIGN(const UniqueFd lock, session.lock());
  UniqueFd command_line(mode == "source" ? worker_connection_fd : -1);
  GODWIT_ASSIGN(auto events, EventLog::open(session, std::move(command_line), Clock::now()));
  if (mode == "recover") return recover(config, session, std::move(events));
  if (mode == "destination") {
    ::fcntl(worker_admission_fd, F_SETFD, FD_CLOEXEC);
    return DestinationWorker(config, session, std::move(events))
        .serve(UniqueFd(worker_connection_fd), UniqueFd(worker_admission_fd));
  }
  if (mode != "source") return fail("there is no worker mode '{}'", mode);
  GODWIT_ASSIGN(const nlohmann::json about, session.session());
  GODWIT_ASSIGN(const Request request, decode_request(about.value("request", "")));
  const auto* migrate = std::get_if<MigrateRequest>(&request);
  if (migrate == nullptr) return fail("session {} asks for something else than a migration", session_id);
  return SourceWorker(config, session, std::move(events)).migrate(*migrate);
}

std::string host_name() {
  char name[256] = {};
  if (::gethostname(name, sizeof name - 1) != 0) return "";
  return name;
}

int main_with_errors(int argc, char** argv) {
  AgentConfig config;
  config.node_name = host_name();
  CLI::App app{"godwit-agent: moves running containers between nodes"};
  app.add_option("--node", config.node_name, "name of this node, as in its certificate")->capture_default_str();
  app.add_option("--listen", config.listen_address, "address to listen on for other agents")->capture_default_str();
  app.add_option("--port", config.port, "port to listen on")->capture_default_str();
  app.add_option("--ca", config.ca_path, "certificate authority of all agents")->capture_default_str();
  app.add_option("--certificate", config.certificate_path, "this node's certificate")->capture_default_str();
  app.add_option("--key", config.key_path, "its key")->capture_default_str();
  app.add_option("--containers", config.containers_path, "where containers that arrive are put")->capture_default_str();
  app.add_option("--runc-root", config.runc_root, "runc's --root")->capture_default_str();
  app.add_option("--sessions-max", config.sessions_max, "migrations at once")->capture_default_str();
  std::string mode;
  std::string session;
  CLI::App* worker = app.add_subcommand("worker")->group("");  // for ourselves: not in the help
  worker->add_option("mode", mode)->required();
  worker->add_option("session", session)->required();
  CLI11_PARSE(app, argc, argv);

  ::signal(SIGPIPE, SIG_IGN);
  // Memory of containers passes through this process: no core dump, and no other process may look into it.
  ::prctl(PR_SET_DUMPABLE, 0);
  Result<> outcome;
  if (worker->parsed()) {
    outcome = run_worker(config, mode, session);
  } else {
    set_log_name("agent");
    const auto program = os::read_link("/proc/self/exe");
    outcome = program ? Supervisor(config, *program).run() : Result<>(std::unexpected(program.error()));
  }
  if (outcome) return 0;
  log_error("{}", outcome.error().message);
  return 1;
}

}  // namespace
}  // namespace godwit::agent

int main(int argc, char** argv) {
  return godwit::agent::main_with_errors(argc, argv);
}
