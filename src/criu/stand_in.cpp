#include "criu/stand_in.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <sstream>

#include <fmt/ranges.h>

#include "base/log.h"
#include "criu/rpc.h"
#include "os/fd_passing.h"
#include "os/file.h"

namespace godwit::criu {
namespace {

constexpr const char* socket_variable = "GODWIT_CRIU_SOCKET";
constexpr const char* program_variable = "GODWIT_CRIU_PROGRAM";
constexpr const char* shim_variable = "GODWIT_CRIU_SHIM";
constexpr const char* init_pid_variable = "GODWIT_CRIU_INIT_PID";
constexpr const char* namespaces_variable = "GODWIT_CRIU_NAMESPACES";  // paths, separated by colons
constexpr const char* hello = "restore";
constexpr const char* loaded = "loaded";                 // what the shim says
constexpr const char* network_key = "extRootNetNS";      // runc's name for the network namespace that it hands over
constexpr auto answer_limit = std::chrono::seconds(60);  // for runc's request and the worker's answer

std::string variable(const char* name) {
  const char* text = std::getenv(name);
  return text == nullptr ? "" : text;
}

// Looks at the request that waits in runc's socket and leaves it there.
Result<RequestSummary> peek_request(int socket) {
  GODWIT_TRY(os::wait_readable(socket, Deadline::after(answer_limit)));
  std::string packet(message_bytes_max, '\0');
  const ssize_t got = ::recv(socket, packet.data(), packet.size(), MSG_PEEK);
  if (got < 0) return fail_errno("look at runc's request");
  packet.resize(static_cast<size_t>(got));
  return summarize_request(packet);
}

// Exchanges `socket` for the worker's and enters the network namespace. Returns the connection to the worker.
Result<UniqueFd> hand_over(int socket, const RequestSummary& request, const std::string& worker) {
  GODWIT_ASSIGN(UniqueFd connection, os::connect_seqpacket(worker));
  const auto network = request.inherited.find(network_key);
  if (network == request.inherited.end()) {
    GODWIT_TRY(os::send_message(connection.get(), "the bundle's config.json names no network namespace by its path"));
    return fail("no network namespace");
  }
  GODWIT_TRY(os::send_message(connection.get(), hello, socket));
  GODWIT_ASSIGN(const os::PassedMessage answer, os::receive_message(connection.get(), Deadline::after(answer_limit)));
  if (::dup2(answer.fd.get(), socket) < 0) return fail_errno("take the worker's socket");
  if (::setns(network->second, CLONE_NEWNET) != 0) return fail_errno("enter the container's network namespace");
  return connection;
}

Result<> enter_further_namespaces() {
  std::istringstream paths(variable(namespaces_variable));
  for (std::string path; std::getline(paths, path, ':');) {
    GODWIT_ASSIGN(const UniqueFd space, os::open_file(path, O_RDONLY));
    if (::setns(space.get(), 0) != 0) return fail_errno("enter {}", path);
  }
  return {};
}

Result<> become_intercepted(int socket, const std::string& worker) {
  GODWIT_ASSIGN(const RequestSummary request, peek_request(socket));
  if (request.type != static_cast<int32_t>(RequestType::restore)) return {};
  GODWIT_ASSIGN(UniqueFd connection, hand_over(socket, request, worker));
  GODWIT_TRY(enter_further_namespaces());
  const int ready = ::fcntl(connection.get(), F_DUPFD, 100);  // kept across exec; the shim closes it
  if (ready < 0) return fail_errno("keep the connection to the worker");
  ::setenv("LD_PRELOAD", variable(shim_variable).c_str(), 1);
  ::setenv("GODWIT_SHIM", "restore", 1);
  ::setenv("GODWIT_SHIM_READY", std::to_string(ready).c_str(), 1);
  ::setenv("GODWIT_SHIM_INIT_PID", variable(init_pid_variable).c_str(), 1);
  return {};
}

}  // namespace

int stand_in_main(int argc, char** argv) {
  set_log_name("godwit-criu");
  const std::string worker = variable(socket_variable);
  const std::string program = variable(program_variable);
  if (program.empty()) {
    log_error("{} is not set: this program is started by runc for godwit only", program_variable);
    return 1;
  }
  if (argc == 3 && std::string(argv[1]) == "swrk" && !worker.empty()) {
    if (auto done = become_intercepted(std::atoi(argv[2]), worker); !done) {
      log_error("{}", done.error().message);
      return 1;
    }
  }
  for (const char* name : {socket_variable, program_variable, shim_variable, init_pid_variable, namespaces_variable}) {
    ::unsetenv(name);
  }
  ::execv(program.c_str(), argv);
  log_error("start {}: {}", program, std::strerror(errno));
  return 127;
}

Result<StandIn> StandIn::make(const CriuProgram& criu, const std::string& directory) {
  GODWIT_TRY(os::make_directories(directory));
  const std::string link = directory + "/criu";
  if (::unlink(link.c_str()) != 0 && errno != ENOENT) return fail_errno("remove {}", link);
  if (::symlink(criu.stand_in().c_str(), link.c_str()) != 0) return fail_errno("link {}", link);
  GODWIT_ASSIGN(UniqueFd listener, os::listen_seqpacket(directory + "/socket"));
  return StandIn(criu, directory, std::move(listener));
}

std::vector<std::string> StandIn::environment(pid_t init_pid, const std::vector<std::string>& namespaces) const {
  std::vector<std::string> environment{
      fmt::format("PATH={}:{}", directory_, variable("PATH")), fmt::format("{}={}/socket", socket_variable, directory_),
      fmt::format("{}={}", program_variable, criu_path_), fmt::format("{}={}", shim_variable, shim_)};
  if (init_pid > 0) environment.push_back(fmt::format("{}={}", init_pid_variable, init_pid));
  if (!namespaces.empty()) environment.push_back(fmt::format("{}={}", namespaces_variable, fmt::join(namespaces, ":")));
  return environment;
}

Result<Intercepted> StandIn::intercept(Deadline deadline) {
  GODWIT_TRY(os::wait_readable(listener_.get(), deadline));
  const UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection) return fail_errno("accept the stand-in of criu");
  ucred peer{};
  socklen_t size = sizeof peer;
  if (::getsockopt(connection.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return fail_errno("ask who connects");

  GODWIT_ASSIGN(os::PassedMessage first, os::receive_message(connection.get(), deadline));
  if (first.text != hello || !first.fd) return fail("{}", first.text);
  GODWIT_ASSIGN(os::SocketPair socket, os::seqpacket_pair());
  GODWIT_TRY(os::send_message(connection.get(), "serve", socket.theirs.get()));
  GODWIT_ASSIGN(std::string request, receive_packet(first.fd.get(), deadline));

  auto report = os::receive_message(connection.get(), deadline);
  if (!report) return std::unexpected(std::move(report).error().context("criu did not load the library that it needs"));
  if (report->text != loaded) return fail("criu's stand-in says: {}", report->text);
  return Intercepted{
      .runc = std::move(first.fd), .criu = std::move(socket.ours), .request = std::move(request), .criu_pid = peer.pid};
}

}  // namespace godwit::criu
