#include "transfer/preamble.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "transfer/tcp.h"

namespace godwit::transfer {
namespace {

constexpr std::string_view magic = "GODWIT/";
constexpr std::string_view version = "1";
constexpr size_t session_digits = 32;
constexpr std::array<std::pair<Role, std::string_view>, 5> roles{{{Role::control, "control"},
                                                                  {Role::lane, "lane"},
                                                                  {Role::files, "files"},
                                                                  {Role::command, "command"},
                                                                  {Role::query, "query"}}};

std::string in_quotes(std::string_view text) {
  std::string safe(text.substr(0, preamble_bytes_max));
  std::ranges::replace_if(safe, [](char c) { return c < ' ' || c > '~'; }, '?');
  return '"' + safe + '"';
}

// The part up to the next space, which is taken away too.
std::string_view take_word(std::string_view& rest) {
  const size_t space = rest.find(' ');
  const std::string_view word = rest.substr(0, space);
  rest.remove_prefix(space == std::string_view::npos ? rest.size() : space + 1);
  return word;
}

bool is_session_id(std::string_view text) {
  return text.size() == session_digits &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

// What has arrived, left in the socket; at least a byte.
Result<std::string_view> peek(int socket, std::span<char> buffer, Deadline deadline) {
  for (;;) {
    GODWIT_TRY(wait_ready(socket, POLLIN, deadline, "wait for the peer's first line"));
    const ssize_t got = ::recv(socket, buffer.data(), buffer.size(), MSG_PEEK | MSG_DONTWAIT);
    if (got > 0) return std::string_view(buffer.data(), static_cast<size_t>(got));
    if (got == 0) return fail("the peer closed the connection before its first line ended");
    if (errno != EAGAIN && errno != EINTR) return fail_errno("read the peer's first line");
  }
}

}  // namespace

std::string_view role_name(Role role) {
  for (const auto& [value, name] : roles) {
    if (value == role) return name;
  }
  return "unknown";
}

std::optional<Role> role_by_name(std::string_view name) {
  for (const auto& [value, text] : roles) {
    if (text == name) return value;
  }
  return std::nullopt;
}

std::string tls_purpose(const Preamble& preamble) {
  return fmt::format("{}.{}.godwit", role_name(preamble.role), preamble.session);
}

std::string format_preamble(const Preamble& preamble) {
  return fmt::format("{}{} {} {}\n", magic, version, preamble.session, role_name(preamble.role));
}

Result<Preamble> parse_preamble(std::string_view line) {
  std::string_view rest = line;
  const std::string_view protocol = take_word(rest);
  if (!protocol.starts_with(magic)) return fail("not a Godwit agent: its first line is {}", in_quotes(line));
  if (protocol.substr(magic.size()) != version) {
    return fail("the peer speaks {}, this agent speaks {}{}: run the same version on both nodes", in_quotes(protocol),
                magic, version);
  }
  const std::string_view session = take_word(rest);
  if (!is_session_id(session)) return fail("session id {} is not 32 hexadecimal digits", in_quotes(session));
  const auto role = role_by_name(rest);
  if (!role) return fail("unknown role {}", in_quotes(rest));
  return Preamble{.session = std::string(session), .role = *role};
}

Result<Preamble> read_preamble(int socket, Deadline deadline) {
  std::string line;
  std::array<char, preamble_bytes_max> buffer{};
  for (;;) {
    const size_t room = preamble_bytes_max - line.size();
    GODWIT_ASSIGN(const std::string_view seen, peek(socket, std::span(buffer).first(room), deadline));
    const size_t newline = seen.find('\n');
    const size_t take = newline == std::string_view::npos ? seen.size() : newline + 1;
    if (::recv(socket, buffer.data(), take, MSG_DONTWAIT) != static_cast<ssize_t>(take)) {
      return fail_errno("read the peer's first line");
    }
    line.append(buffer.data(), take);
    if (newline != std::string_view::npos) break;
    if (line.size() >= preamble_bytes_max) {
      return fail("not a Godwit agent: its first line is longer than {} bytes: {}", preamble_bytes_max,
                  in_quotes(line));
    }
  }
  line.pop_back();
  return parse_preamble(line);
}

Result<> write_preamble(int socket, const Preamble& preamble, Deadline deadline) {
  const std::string line = format_preamble(preamble);
  GODWIT_TRY(parse_preamble(std::string_view(line).substr(0, line.size() - 1)));
  GODWIT_TRY(wait_ready(socket, POLLOUT, deadline, "send the first line"));
  // The first bytes of a connection always fit its send buffer, so a short send is a failure.
  const ssize_t sent = ::send(socket, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent != static_cast<ssize_t>(line.size())) return fail_errno("send the first line");
  return {};
}

}  // namespace godwit::transfer
