#include "agent/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <thread>

#include "agent/commands.h"
#include "agent/worker_arguments.h"
#include "base/log.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::agent {
namespace {

constexpr int command_connections_max = 64;
// A bound on threads, not on peers: those are PendingPeers' to bound, which ends some in time.
constexpr int peer_connections_max = 256;
constexpr size_t remote_commands_max = 256;
constexpr auto admission_time = std::chrono::seconds(7);  // longer than a worker waits for the handshake
constexpr auto preamble_time = std::chrono::seconds(3);
constexpr auto command_time = std::chrono::seconds(10);
constexpr auto predecessor_time = std::chrono::seconds(2);
constexpr auto recovery_interval = std::chrono::seconds(2);

Result<UniqueFd> listen_unix_stream(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("socket path {} is too long", path);
  path.copy(address.sun_path, path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("unix socket");
  ::unlink(path.c_str());
  // Whoever may connect may move containers: root only, from the first moment.
  const mode_t old_mask = ::umask(0177);
  const int bound = ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(old_mask);
  if (bound != 0) return fail_errno("bind {}", path);
  if (::listen(fd.get(), 64) != 0) return fail_errno("listen on {}", path);
  return fd;
}

// One line, without reading past it into what belongs to a worker.
Result<std::string> read_line(int fd, Deadline deadline) {
  std::string line;
  char byte = 0;
  while (line.size() < event_line_bytes_max) {
    GODWIT_TRY(os::wait_readable(fd, deadline));
    const ssize_t got = ::recv(fd, &byte, 1, 0);
    if (got <= 0) return fail("the request ended early");
    if (byte == '\n') return line;
    line += byte;
  }
  return fail("the request is longer than {} bytes", event_line_bytes_max);
}

}  // namespace

Result<> Supervisor::listen() {
  GODWIT_TRY(memory_id());  // made by one process, before workers ask
  const std::string run = SessionDirectory::root() + "/..";
  // The agent before us may just be ending.
  auto lock = os::lock_file(run + "/agent.lock", Deadline::after(predecessor_time));
  if (!lock && lock.error().code == EWOULDBLOCK) return fail("another agent is running on this node");
  GODWIT_ASSIGN(instance_lock_, std::move(lock));
  GODWIT_ASSIGN(transfer::Listener listener, transfer::Listener::open(config_.listen_address, config_.port));
  peer_listener_.emplace(std::move(listener));
  GODWIT_ASSIGN(command_listener_, listen_unix_stream(run + "/agent.sock"));
  return {};
}

Result<> Supervisor::run() {
  GODWIT_TRY(listen());
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&signals, number);
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const UniqueFd signal_fd(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signal_fd) return fail_errno("signalfd");
  std::thread([this] {
    accept_loop(peer_listener_->fd(), &Supervisor::serve_peer, peer_connections_, peer_connections_max);
  }).detach();
  std::thread([this] {
    accept_loop(command_listener_.get(), &Supervisor::serve_command, command_connections_, command_connections_max);
  }).detach();
  log_info("agent of node {} listens on {}:{}", config_.node_name, config_.listen_address, config_.port);
  for (;;) {
    recover_dead_sessions();
    if (auto pruned = prune_finished_sessions(); !pruned) log_warning("{}", pruned.error().message);
    pollfd ready{signal_fd.get(), POLLIN, 0};
    ::poll(&ready, 1, 500);
    signalfd_siginfo info{};
    while (::read(signal_fd.get(), &info, sizeof info) == sizeof info) {
      if (info.ssi_signo == SIGCHLD) continue;
      // Sessions under way are not ours to end: their workers go on, and the next agent finds them.
      const std::lock_guard lock(mutex_);
      log_info("agent ends on a signal; {} sessions go on", workers_.size());
      for (auto& [id, worker] : workers_) worker.detach();
      for (Answer& answer : answers_) answer.process.detach();
      for (os::Subprocess& command : remote_commands_) command.detach();
      workers_.clear();
      return {};
    }
    reap_workers();
  }
}

void Supervisor::accept_loop(int listener, void (Supervisor::*serve)(UniqueFd), int& connections, int connections_max) {
  for (;;) {
    UniqueFd connection(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) {
      if (errno == EBADF || errno == EINVAL) return;
      // Out of descriptors or memory: do not spin.
      std::this_thread::sleep_for(milliseconds(20));
      continue;
    }
    {
      const std::lock_guard lock(mutex_);
      if (connections >= connections_max) continue;  // closed: the peer tries again
      ++connections;
    }
    std::thread([this, serve, &connections, fd = connection.release()] {
      (this->*serve)(UniqueFd(fd));
      const std::lock_guard lock(mutex_);
      --connections;
    }).detach();
  }
}

void Supervisor::serve_peer(UniqueFd connection) {
  if (auto routed = route_peer(std::move(connection)); !routed)
    log_warning("peer connection: {}", routed.error().message);
}

Result<> Supervisor::route_peer(UniqueFd connection) {
  GODWIT_ASSIGN(PendingPeers::Place place, pending_peers_.enter(connection.get()));
  GODWIT_ASSIGN(const transfer::Preamble preamble,
                transfer::read_preamble(connection.get(), Deadline::after(preamble_time)));
  if (preamble.role == transfer::Role::command) return start_remote_command(preamble, connection, place);
  auto session = SessionDirectory::open(preamble.session);
  const bool lives = session && session->worker_lives();
  if (preamble.role == transfer::Role::control) {
    if (session) return fail("session {} exists already", preamble.session);
    return start_destination(preamble, connection, place);
  }
  if (preamble.role == transfer::Role::query && !lives) {
    return start_answer(preamble.session, connection.get(), std::move(place));
  }
  if (!lives) return fail("no worker for session {}", preamble.session);
  GODWIT_ASSIGN(const UniqueFd worker, os::connect_seqpacket(session->path("worker.sock")));
  return os::send_message(worker.get(), transfer::role_name(preamble.role), connection.get());
}

// Stays until the worker has seen the source's certificate: only then it is one of the node's sessions.
Result<> Supervisor::start_destination(const transfer::Preamble& preamble, const UniqueFd& connection,
                                       PendingPeers::Place& place) {
  GODWIT_ASSIGN(os::SocketPair pair, os::seqpacket_pair());
  GODWIT_TRY(start_session("destination", preamble.session, {{"role", "destination"}, {"to", config_.node_name}},
                           {.connection = connection.get(), .admission = pair.theirs.get()}));
  pair.theirs.reset();
  const auto authenticated = os::receive_message(pair.ours.get(), Deadline::after(admission_time));
  if (!authenticated) {
    ::shutdown(connection.get(), SHUT_RDWR);
    return fail("session {} has not shown a certificate", preamble.session);
  }
  place.leave();
  const auto admitted = admit(preamble.session);
  GODWIT_TRY(os::send_message(pair.ours.get(), admitted ? admission_granted : admitted.error().message));
  return admitted;
}

// As an answer, but it may take as long as a migration, and so leaves its place to others once it is authenticated.
Result<> Supervisor::start_remote_command(const transfer::Preamble& preamble, const UniqueFd& connection,
                                          PendingPeers::Place& place) {
  GODWIT_ASSIGN(os::SocketPair pair, os::seqpacket_pair());
  {
    const std::lock_guard lock(mutex_);
    if (remote_commands_.size() >= remote_commands_max) return fail("more than {} orders at once", remote_commands_max);
  }
  GODWIT_ASSIGN(
      os::Subprocess process,
      start_process("command", preamble.session, {.connection = connection.get(), .admission = pair.theirs.get()}));
  pair.theirs.reset();
  GODWIT_TRY(os::receive_message(pair.ours.get(), Deadline::after(admission_time)));
  place.leave();
  const std::lock_guard lock(mutex_);
  remote_commands_.push_back(std::move(process));
  return {};
}

void Supervisor::serve_command(UniqueFd connection) {
  // A client that does not read must not keep us.
  const timeval send_limit{.tv_sec = command_time.count(), .tv_usec = 0};
  ::setsockopt(connection.get(), SOL_SOCKET, SO_SNDTIMEO, &send_limit, sizeof send_limit);
  auto line = read_line(connection.get(), Deadline::after(command_time));
  Result<> answered;
  if (line) {
    answered = answer_command(connection, *line);
  } else {
    answered = std::unexpected(line.error());
  }
  // A connection that went to a worker is the worker's to answer.
  if (!answered && connection) {
    const std::string result = encode_event(ResultEvent{.ok = false, .reason = answered.error().message}) + "\n";
    if (auto sent = os::write_all(connection.get(), result.data(), result.size()); !sent) {
      log_debug("command line: {}", sent.error().message);
    }
  }
}

Result<> Supervisor::answer_command(UniqueFd& connection, const std::string& line) {
  GODWIT_ASSIGN(const Request request, decode_request(line));
  if (const auto* migrate = std::get_if<MigrateRequest>(&request)) return start_migration(*migrate, connection);
  return answer_query(config_, request, connection.get());
}

Result<> Supervisor::start_migration(const MigrateRequest& request, UniqueFd& connection) {
  GODWIT_ASSIGN(std::string id, SessionDirectory::new_id());
  if (!request.session.empty()) id = request.session;
  if (!SessionDirectory::valid_id(id)) return fail("'{}' is not 32 hexadecimal digits, as a session's name is", id);
  GODWIT_TRY(start_session("source", id,
                           {{"role", "source"},
                            {"container", request.container},
                            {"from", config_.node_name},
                            {"to", request.to_name.empty() ? request.to : request.to_name},
                            {"request", encode_request(request)}},
                           {.connection = connection.get()}));
  connection.reset();
  return {};
}

Result<> Supervisor::start_session(const std::string& mode, const std::string& id, const nlohmann::json& about,
                                   Descriptors descriptors) {
  GODWIT_TRY(reserve_session(mode, id));
  const auto created = SessionDirectory::create(id, about);
  Result<> started = created ? start_worker(mode, id, descriptors) : std::unexpected(created.error());
  const std::lock_guard lock(mutex_);
  starting_.erase(id);
  if (!started) unadmitted_.erase(id);
  return started;
}

// Sessions that others ask for are counted when they have shown who they are, in admit().
Result<> Supervisor::reserve_session(const std::string& mode, const std::string& id) {
  const std::lock_guard lock(mutex_);
  if (mode != "destination") GODWIT_TRY(check_room());
  if (workers_.contains(id) || !starting_.insert(id).second) return fail("session {} exists already", id);
  if (mode == "destination") unadmitted_.insert(id);
  return {};
}

Result<> Supervisor::admit(const std::string& id) {
  const std::lock_guard lock(mutex_);
  GODWIT_TRY(check_room());
  unadmitted_.erase(id);
  return {};
}

// With mutex_ held.
Result<> Supervisor::check_room() const {
  size_t running = 0;
  for (const auto& [id, worker] : workers_) running += unadmitted_.contains(id) ? 0 : 1;
  for (const std::string& id : starting_) running += unadmitted_.contains(id) ? 0 : 1;
  if (running < config_.sessions_max) return {};
  return fail("{} sessions are running on node {}, which is its limit; try again later", running, config_.node_name);
}

// Who asks has not shown a certificate yet: the place that bounds them is kept until it is answered.
Result<> Supervisor::start_answer(const std::string& session, int connection, PendingPeers::Place place) {
  GODWIT_ASSIGN(os::Subprocess process, start_process("answer", session, {.connection = connection}));
  const std::lock_guard lock(mutex_);
  answers_.push_back({.process = std::move(process), .place = std::move(place)});
  return {};
}

Result<os::Subprocess> Supervisor::start_process(const std::string& mode, const std::string& session,
                                                 Descriptors descriptors) const {
  os::Command command{.argv = worker_arguments(config_, program_, mode, session), .die_with_parent = false};
  command.descriptors.emplace_back(STDERR_FILENO, STDERR_FILENO);
  if (descriptors.connection >= 0) command.descriptors.emplace_back(descriptors.connection, worker_connection_fd);
  if (descriptors.admission >= 0) command.descriptors.emplace_back(descriptors.admission, worker_admission_fd);
  return os::Subprocess::start(command);
}

Result<> Supervisor::start_worker(const std::string& mode, const std::string& session, Descriptors descriptors) {
  GODWIT_ASSIGN(os::Subprocess worker, start_process(mode, session, descriptors));
  const std::lock_guard lock(mutex_);
  workers_.insert_or_assign(session, std::move(worker));
  return {};
}

bool Supervisor::worker_known(const std::string& session) {
  const std::lock_guard lock(mutex_);
  return workers_.contains(session) || starting_.contains(session);
}

void Supervisor::reap_workers() {
  const std::lock_guard lock(mutex_);
  for (auto worker = workers_.begin(); worker != workers_.end();) {
    auto status = worker->second.wait(Deadline::after(milliseconds(0)));
    if (!status) {
      ++worker;
      continue;
    }
    if (*status != 0) log_warning("worker of session {} ended with status {}", worker->first, *status);
    unadmitted_.erase(worker->first);
    worker = workers_.erase(worker);
  }
  std::erase_if(remote_commands_,
                [](os::Subprocess& command) { return command.wait(Deadline::after(milliseconds(0))).has_value(); });
  std::erase_if(answers_,
                [](Answer& answer) { return answer.process.wait(Deadline::after(milliseconds(0))).has_value(); });
}

void Supervisor::recover_dead_sessions() {
  auto sessions = SessionDirectory::all();
  if (!sessions) {
    log_warning("cannot look for sessions to recover: {}", sessions.error().message);
    return;
  }
  for (const SessionDirectory& session : *sessions) {
    if (session.finished() || worker_known(session.id()) || session.worker_lives()) continue;
    Clock::time_point& next = next_recovery_[session.id()];
    if (Clock::now() < next) continue;
    next = Clock::now() + recovery_interval;
    log_warning("session {} has lost its worker: recovering", session.id());
    if (auto started = start_worker("recover", session.id(), {}); !started) {
      log_error("session {}: {}", session.id(), started.error().message);
    }
  }
  if (next_recovery_.size() > 1024) next_recovery_.clear();
}

}  // namespace godwit::agent
