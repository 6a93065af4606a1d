// The one line that a connecting agent sends in clear before TLS begins, so that the supervisor can hand the connection
// to the session's worker process, which then does TLS itself:
//
//   GODWIT/1 <session id, 32 lower-case hexadecimal digits> <role>\n
//
// Nothing in it is trusted: it only chooses who does the handshake, in which the client repeats it (tls_purpose()), so
// that nobody between the two can lead a connection to another session or role.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/deadline.h"
#include "base/result.h"

namespace godwit::transfer {

enum class Role : uint8_t {
  control,  // the session's control channel
  lane,     // one page lane
  files,    // the file copy
  command,  // an order of the controller's; the session's id is a random one of its own
  query,    // how did the session end? from a source that lost its control channel
};

std::string_view role_name(Role role);
std::optional<Role> role_by_name(std::string_view name);

struct Preamble {
  std::string session;  // 32 lower-case hexadecimal digits
  Role role = Role::control;

  friend bool operator==(const Preamble&, const Preamble&) = default;
};

// What both sides give TlsStream as the connection's purpose: "lane.<session id>.godwit".
std::string tls_purpose(const Preamble& preamble);

constexpr size_t preamble_bytes_max = 80;  // with its newline

// With its newline.
std::string format_preamble(const Preamble& preamble);
// `line` without its newline. Errors name what is wrong and quote the line with everything unprintable replaced.
Result<Preamble> parse_preamble(std::string_view line);

// Reads the line and not a byte past it, so that TLS can begin on the same socket, in this process or another. The
// socket may be blocking or not.
Result<Preamble> read_preamble(int socket, Deadline deadline);
// Sends it; nothing else may have been sent on the socket before.
Result<> write_preamble(int socket, const Preamble& preamble, Deadline deadline);

}  // namespace godwit::transfer
