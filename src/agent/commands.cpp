#include "agent/commands.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>

#include "agent/address_orders.h"
#include "agent/events.h"
#include "agent/pod_container.h"
#include "agent/session_directory.h"
#include "agent/worker_arguments.h"
#include "os/fd_passing.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr auto abandon_time = std::chrono::seconds(10);

Result<> send_event(int connection, const Event& event) {
  const std::string line = encode_event(event) + "\n";
  return os::write_all(connection, line.data(), line.size());
}

// Bytes that the container's memory cgroup counts; 0 where there is none.
uint64_t memory_bytes_of(pid_t pid) {
  uint64_t total = 0;
  const auto processes = os::read_file(fmt::format("/proc/{}/statm", pid));
  if (!processes) return 0;
  unsigned long long size = 0;
  unsigned long long resident = 0;
  if (std::sscanf(processes->c_str(), "%llu %llu", &size, &resident) == 2) total = resident * 4096;
  return total;
}

std::string address_of(pid_t pid) {
  const auto text = os::run_checked({.argv = {"ip", "-j", "addr", "show", "scope", "global"},
                                     .network_namespace = fmt::format("/proc/{}/ns/net", pid)},
                                    Deadline::after(std::chrono::seconds(5)));
  const json links = text ? json::parse(*text, nullptr, false) : json();
  if (!links.is_array()) return "";
  for (const json& link : links) {
    for (const json& address : link.value("addr_info", json::array())) return address.value("local", "");
  }
  return "";
}

std::string session_of(const std::string& container) {
  const auto sessions = SessionDirectory::all();
  if (!sessions) return "";
  for (const SessionDirectory& session : *sessions) {
    const auto meta = session.session();
    if (meta && !session.finished() && meta->value("container", "") == container) return session.id();
  }
  return "";
}

Result<ContainersEvent> list_containers(const AgentConfig& config) {
  if (!os::exists(config.runc_root)) return ContainersEvent{};  // runc makes it with its first container
  GODWIT_ASSIGN(const std::string text,
                os::run_checked({.argv = {"runc", "--root", config.runc_root, "list", "--format", "json"}},
                                Deadline::after(std::chrono::seconds(10))));
  const json listed = json::parse(text, nullptr, false);
  ContainersEvent event;
  if (listed.is_null()) return event;
  if (!listed.is_array()) return fail("cannot understand the output of runc list");
  for (const json& container : listed) {
    ContainerInfo info{
        .name = container.value("id", ""), .state = container.value("status", ""), .pid = container.value("pid", 0)};
    if (info.pid > 0) {
      info.memory_bytes = memory_bytes_of(static_cast<pid_t>(info.pid));
      info.address = address_of(static_cast<pid_t>(info.pid));
    }
    info.session = session_of(info.name);
    event.containers.push_back(std::move(info));
  }
  return event;
}

SessionInfo describe(const SessionDirectory& session) {
  SessionInfo info{.session = session.id()};
  if (const auto meta = session.session()) {
    info.container = meta->value("container", "");
    info.role = meta->value("role", "");
    info.from = meta->value("from", "");
    info.to = meta->value("to", "");
  }
  struct stat status{};
  if (::stat(session.path("session.json").c_str(), &status) == 0) {
    info.age_s = static_cast<double>(std::max<time_t>(0, std::time(nullptr) - status.st_mtim.tv_sec));
  }
  if (const auto lines = session.events()) {
    for (const std::string& line : *lines) {
      const auto event = decode_event(line);
      if (!event) continue;
      if (const auto* phase = std::get_if<PhaseEvent>(&*event)) info.phase = phase->phase;
      if (const auto* known = std::get_if<SessionEvent>(&*event)) {
        info.container = known->container;
        info.from = known->from;
        info.to = known->to;
      }
    }
  }
  if (session.finished()) {
    if (const auto result = session.result()) {
      info.phase = result->ok ? Phase::complete : Phase::failed;
      info.pause_ms = result->pause_ms;
      info.reason = result->reason;
    }
  }
  return info;
}

Result<> answer_sessions(int connection) {
  GODWIT_ASSIGN(const std::vector<SessionDirectory> sessions, SessionDirectory::all());
  SessionsEvent event;
  for (const SessionDirectory& session : sessions) event.sessions.push_back(describe(session));
  std::sort(event.sessions.begin(), event.sessions.end(),
            [](const SessionInfo& a, const SessionInfo& b) { return a.age_s < b.age_s; });
  GODWIT_TRY(send_event(connection, event));
  return send_event(connection, ResultEvent{.ok = true});
}

Result<> answer_inspect(const InspectRequest& request, int connection) {
  GODWIT_ASSIGN(const SessionDirectory session, SessionDirectory::open(request.session));
  GODWIT_ASSIGN(const std::vector<std::string> lines, session.events());
  for (const std::string& line : lines) GODWIT_TRY(os::write_all(connection, (line + "\n").data(), line.size() + 1));
  if (session.finished()) {
    GODWIT_ASSIGN(const ResultEvent result, session.result());
    return send_event(connection, result);
  }
  return send_event(connection, ResultEvent{.unknown = true, .session = session.id(), .reason = "it is still running"});
}

// The worker of a session that runs.
Result<UniqueFd> connect_worker(const std::string& id) {
  GODWIT_ASSIGN(const SessionDirectory session, SessionDirectory::open(id));
  if (session.finished()) return fail("session {} has ended already", id);
  return os::connect_seqpacket(session.path("worker.sock"));
}

Result<> answer_cancel(const CancelRequest& request, int connection) {
  GODWIT_ASSIGN(const UniqueFd worker, connect_worker(request.session));
  GODWIT_TRY(os::send_message(worker.get(), "cancel"));
  return send_event(connection, ResultEvent{.ok = true, .session = request.session});
}

Result<> answer_reconfigure(const ReconfigureRequest& request, int connection) {
  GODWIT_ASSIGN(const UniqueFd worker, connect_worker(request.session));
  GODWIT_TRY(os::send_message(worker.get(), reconfigure_word + encode_request(request)));
  return send_event(connection, ResultEvent{.ok = true, .session = request.session});
}

Result<> answer_abandon(const AbandonRequest& request, int connection) {
  GODWIT_ASSIGN(const UniqueFd worker, connect_worker(request.session));
  GODWIT_TRY(os::send_message(worker.get(), request.keep ? "abandon keep" : "abandon end"));
  // It asks the destination once more before it agrees.
  const auto answer = os::receive_message(worker.get(), Deadline::after(abandon_time));
  if (!answer) return fail("session {} cannot be abandoned on this side of it", request.session);
  if (answer->text != abandon_agreed) return fail("{}", answer->text);
  return send_event(connection, ResultEvent{.ok = true, .session = request.session});
}

Result<> answer_addresses(const AddressesRequest& request, int connection) {
  obey_address_orders(request);
  GODWIT_ASSIGN(const AddressesEvent event, describe_addresses());
  GODWIT_TRY(send_event(connection, event));
  return send_event(connection, ResultEvent{.ok = true});
}

}  // namespace

Result<> answer_query(const AgentConfig& config, const Request& request, int connection) {
  if (std::holds_alternative<PsRequest>(request)) {
    Result<ContainersEvent> listed;
    try {
      listed = list_containers(config);
    } catch (const json::exception& error) {
      return fail("cannot understand the output of runc or ip: {}", error.what());
    }
    GODWIT_ASSIGN(const ContainersEvent containers, std::move(listed));
    GODWIT_TRY(send_event(connection, containers));
    return send_event(connection, ResultEvent{.ok = true});
  }
  if (std::holds_alternative<SessionsRequest>(request)) return answer_sessions(connection);
  if (const auto* inspect = std::get_if<InspectRequest>(&request)) return answer_inspect(*inspect, connection);
  if (const auto* cancel = std::get_if<CancelRequest>(&request)) return answer_cancel(*cancel, connection);
  if (const auto* order = std::get_if<ReconfigureRequest>(&request)) return answer_reconfigure(*order, connection);
  if (const auto* abandon = std::get_if<AbandonRequest>(&request)) return answer_abandon(*abandon, connection);
  if (const auto* hold = std::get_if<HoldRequest>(&request)) {
    GODWIT_TRY(hold->hold ? hold_container(config.runc_root, hold->container) : let_go_of_container(hold->container));
    return send_event(connection, ResultEvent{.ok = true, .container = hold->container});
  }
  if (const auto* addresses = std::get_if<AddressesRequest>(&request)) return answer_addresses(*addresses, connection);
  return fail("this request cannot be answered here");
}

}  // namespace godwit::agent
