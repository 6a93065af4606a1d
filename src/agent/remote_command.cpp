#include "agent/remote_command.h"

#include <poll.h>
#include <unistd.h>

#include <array>

#include "agent/events.h"
#include "agent/fence.h"
#include "agent/requests.h"
#include "agent/session_directory.h"
#include "os/fd_passing.h"
#include "os/file.h"
#include "transfer/preamble.h"
#include "transfer/tls.h"

namespace godwit::agent {
namespace {

constexpr auto handshake_time = std::chrono::seconds(5);
constexpr auto request_time = std::chrono::seconds(10);

// Without its newline.
Result<std::string> read_line(transfer::TlsStream& stream) {
  std::string line;
  const Deadline deadline = Deadline::after(request_time);
  while (line.size() < event_line_bytes_max) {
    char byte = 0;
    GODWIT_ASSIGN(const size_t got, stream.read_some(&byte, 1, deadline));
    if (got == 0) return fail("the request ended early");
    if (byte == '\n') return line;
    line += byte;
  }
  return fail("the request is longer than {} bytes", event_line_bytes_max);
}

}  // namespace

Result<> carry_command(const AgentConfig& config, const std::string& session_id, UniqueFd connection,
                       UniqueFd admission) {
  GODWIT_ASSIGN(const transfer::TlsIdentity identity,
                transfer::TlsIdentity::load(config.ca_path, config.certificate_path, config.key_path));
  const int socket = connection.get();
  GODWIT_ASSIGN(auto stream, transfer::TlsStream::accept(
                                 std::move(connection), identity, Deadline::after(handshake_time),
                                 transfer::tls_purpose({.session = session_id, .role = transfer::Role::command})));
  if (stream->peer_name() != controller_name) {
    return fail("'{}' gives orders, which only {} may", stream->peer_name(), controller_name);
  }
  GODWIT_TRY(os::send_message(admission.get(), "authenticated"));
  admission.reset();
  GODWIT_ASSIGN(const std::string first, read_line(*stream));
  GODWIT_ASSIGN(const int64_t sequence, parse_fence(first));
  GODWIT_TRY(check_fence(sequence));
  GODWIT_ASSIGN(std::string request, read_line(*stream));
  request += '\n';
  GODWIT_ASSIGN(const UniqueFd local, os::connect_stream(SessionDirectory::root() + "/../agent.sock"));
  GODWIT_TRY(os::write_all(local.get(), request.data(), request.size()));
  std::array<char, 16384> chunk;
  for (;;) {
    // The controller says nothing more: what can be read there is its end.
    std::array<pollfd, 2> ready{{{local.get(), POLLIN, 0}, {socket, POLLIN | POLLRDHUP, 0}}};
    if (::poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) return fail_errno("poll");
    if (ready[1].revents != 0) return {};
    if (ready[0].revents == 0) continue;
    const ssize_t got = ::read(local.get(), chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return stream->close();
    GODWIT_TRY(stream->write(chunk.data(), static_cast<size_t>(got)));
    GODWIT_TRY(stream->flush());
  }
}

}  // namespace godwit::agent
