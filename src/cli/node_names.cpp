#include "cli/node_names.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "agent/requests.h"
#include "os/file.h"

namespace godwit::cli {
namespace {

constexpr size_t nodes_file_bytes_max = size_t{1} << 20;

bool is_ip(int family, const std::string& text) {
  std::array<unsigned char, sizeof(in6_addr)> parsed{};
  return ::inet_pton(family, text.c_str(), parsed.data()) == 1;
}

Result<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size() || port == 0) return fail("'{}' is not a port", text);
  return port;
}

// The first and second word of a line, what follows '#' left out; nullopt for an empty line.
struct Words {
  std::string name;
  std::string address;
  bool more = false;
};
std::optional<Words> words_of(std::string_view line) {
  line = line.substr(0, line.find('#'));
  Words words;
  size_t at = 0;
  const auto next = [&] {
    at = std::min(line.find_first_not_of(" \t\r", at), line.size());
    const size_t end = std::min(line.find_first_of(" \t\r", at), line.size());
    const std::string_view word = line.substr(at, end - at);
    at = end;
    return std::string(word);
  };
  words.name = next();
  if (words.name.empty()) return std::nullopt;
  words.address = next();
  words.more = !next().empty();
  return words;
}

Result<std::optional<std::string>> look_up(const std::string& node, const std::string& file) {
  if (!os::exists(file)) return std::nullopt;
  GODWIT_ASSIGN(const std::string text, os::read_file(file, nodes_file_bytes_max));
  std::optional<std::string> found;
  size_t number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find('\n', start), text.size());
    ++number;
    const std::optional<Words> words = words_of(std::string_view(text).substr(start, end - start));
    start = end + 1;
    if (!words) continue;
    Result<std::string> address = parse_address(words->address);
    if (!address || words->more) {
      return fail("{} line {}: expected \"name address[:port]\"{}", file, number,
                  address ? "" : ": " + address.error().message);
    }
    if (words->name != node) continue;
    if (found && *found != *address) return fail("{} line {}: '{}' has two addresses", file, number, node);
    found = std::move(*address);
  }
  return found;
}

}  // namespace

Result<std::string> parse_address(std::string_view text) {
  std::string host(text);
  std::string_view port_text;
  if (text.starts_with('[')) {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return fail("'{}' lacks a ']'", text);
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && !rest.starts_with(':')) return fail("'{}' is not [address]:port", text);
    if (!rest.empty()) port_text = rest.substr(1);
    if (!rest.empty() && port_text.empty()) return fail("'{}' lacks the port", text);
  } else if (const size_t colon = text.find(':'); colon != std::string_view::npos && text.rfind(':') == colon) {
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
    if (port_text.empty()) return fail("'{}' lacks the port", text);
  }
  uint16_t port = agent::agent_port;
  if (!port_text.empty()) {
    GODWIT_ASSIGN(port, parse_port(port_text));
  }
  if (!text.starts_with('[') && is_ip(AF_INET, host)) return fmt::format("{}:{}", host, port);
  if (is_ip(AF_INET6, host)) return fmt::format("[{}]:{}", host, port);
  return fail("'{}' is not an IP address", host);
}

Result<NodeAddress> resolve_node(const std::string& node, const std::string& file) {
  GODWIT_ASSIGN(std::optional<std::string> listed, look_up(node, file));
  if (listed) return NodeAddress{node, std::move(*listed)};
  Result<std::string> direct = parse_address(node);
  if (direct) return NodeAddress{node, std::move(*direct)};
  // A broken address should hear what is broken; a name that is only unknown should hear where names are kept.
  if (node.find_first_of(":[") != std::string::npos) return std::unexpected(std::move(direct).error());
  return fail("node '{}' is not in {} and is not an IP address; add a line \"{} ADDRESS\" there or give the address",
              node, file, node);
}

}  // namespace godwit::cli
