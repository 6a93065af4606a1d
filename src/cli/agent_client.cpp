#include "cli/agent_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <array>

#include "os/fd_passing.h"

namespace godwit::cli {
namespace {

Error cannot_connect(const std::string& path, Error error) {
  const int code = error.code;
  if (code == ENOENT) {
    return {fmt::format("no agent runs on this node ({} is not there); start godwit-agent", path), code};
  }
  if (code == ECONNREFUSED) {
    return {fmt::format("the agent of this node does not run any more ({} refuses); start godwit-agent", path), code};
  }
  if (code == EACCES || code == EPERM) {
    return {fmt::format("{} may only be used by root; use sudo", path), code};
  }
  return error;
}

// True if `events` came before the deadline.
Result<bool> wait_for(int fd, short events, Deadline deadline) {
  pollfd waited{fd, events, 0};
  for (;;) {
    const int ready = ::poll(&waited, 1, deadline.poll_timeout_ms());
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return fail_errno("wait for the agent");
  }
}

}  // namespace

Result<AgentClient> AgentClient::connect(const std::string& socket_path) {
  auto fd = os::connect_stream(socket_path);
  if (!fd) return std::unexpected(cannot_connect(socket_path, std::move(fd).error()));
  return AgentClient(std::move(*fd));
}

Result<> AgentClient::send(const agent::Request& request, Deadline deadline) {
  const std::string line = agent::encode_request(request) + "\n";
  for (size_t sent = 0; sent < line.size();) {
    GODWIT_ASSIGN(const bool ready, wait_for(fd_.get(), POLLOUT, deadline));
    if (!ready) return fail("the agent does not read its socket");
    const ssize_t count = ::send(fd_.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EINTR && errno != EAGAIN) return fail_errno("send to the agent");
    if (count > 0) sent += static_cast<size_t>(count);
  }
  return {};
}

std::optional<std::string> AgentClient::take_line() {
  const size_t newline = received_.find('\n', searched_);
  if (newline == std::string::npos) {
    searched_ = received_.size();
    return std::nullopt;
  }
  std::string line = received_.substr(0, newline);
  received_.erase(0, newline + 1);
  searched_ = 0;
  return line;
}

Result<std::optional<agent::Event>> AgentClient::next(Deadline deadline) {
  for (;;) {
    if (const std::optional<std::string> line = take_line()) {
      GODWIT_ASSIGN(agent::Event event, agent::decode_event(*line));
      return event;
    }
    if (received_.size() > agent::event_line_bytes_max) return fail("the agent sent a line that is too long");
    GODWIT_ASSIGN(const bool ready, wait_for(fd_.get(), POLLIN, deadline));
    if (!ready) return std::nullopt;
    std::array<char, 16384> chunk;
    const ssize_t got = ::recv(fd_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
    if (got == 0) return fail("the agent closed the connection before the result");
    if (got < 0 && errno != EINTR && errno != EAGAIN) return fail_errno("read from the agent");
    if (got > 0) received_.append(chunk.data(), static_cast<size_t>(got));
  }
}

}  // namespace godwit::cli
