#include "agent/peer_address.h"

#include <arpa/inet.h>

#include <charconv>

#include "agent/requests.h"

namespace godwit::agent {

Result<transfer::PeerAddress> parse_peer_address(const std::string& text) {
  std::string host = text;
  std::string port_text = std::to_string(agent_port);
  const size_t bracket = text.find(']');
  if (text.starts_with('[') && bracket != std::string::npos) {
    host = text.substr(1, bracket - 1);
    if (text.substr(bracket + 1).starts_with(':')) port_text = text.substr(bracket + 2);
  } else if (const size_t colon = text.find(':'); colon != std::string::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    port_text = text.substr(colon + 1);
  }
  in6_addr parsed{};
  if (::inet_pton(AF_INET, host.c_str(), &parsed) != 1 && ::inet_pton(AF_INET6, host.c_str(), &parsed) != 1) {
    return fail("'{}' is not an IP address; name nodes in /etc/godwit/nodes", host);
  }
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (error != std::errc() || end != port_text.data() + port_text.size() || port == 0) {
    return fail("'{}' is not a port", port_text);
  }
  return transfer::PeerAddress{.address = host, .port = port};
}

std::string peer_address_text(const transfer::PeerAddress& address) {
  const bool six = address.address.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", six ? "[" : "", address.address, six ? "]" : "", address.port);
}

std::string expected_node(const transfer::PeerAddress& address, const std::string& operators_name) {
  const bool named = !operators_name.empty() && !parse_peer_address(operators_name);
  return named ? operators_name : address.address;
}

}  // namespace godwit::agent
