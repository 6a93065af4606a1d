#include "network/sent_packets.h"

#include <sstream>
#include <string>

#include <fmt/format.h>

#include "os/file.h"

namespace godwit::network {
namespace {

// Two lines "Ip: NAME...", "Ip: NUMBER...".
Result<uint64_t> read_ipv4(const std::string& text) {
  std::istringstream lines(text);
  std::string names;
  std::string numbers;
  std::getline(lines, names);
  std::getline(lines, numbers);
  std::istringstream name_words(names);
  std::istringstream number_words(numbers);
  std::string name;
  std::string number;
  while (name_words >> name && number_words >> number) {
    if (name == "OutRequests") return std::stoull(number);
  }
  return fail("the kernel does not count the packets that are sent");
}

// Lines "NAME NUMBER".
uint64_t read_ipv6(const std::string& text) {
  std::istringstream words(text);
  std::string name;
  std::string number;
  while (words >> name >> number) {
    if (name == "Ip6OutRequests") return std::stoull(number);
  }
  return 0;
}

}  // namespace

Result<uint64_t> sent_packets(pid_t pid) {
  GODWIT_ASSIGN(const std::string ipv4, os::read_file(fmt::format("/proc/{}/net/snmp", pid)));
  GODWIT_ASSIGN(const uint64_t sent, read_ipv4(ipv4));
  // A kernel without IPv6 has no such file.
  const auto ipv6 = os::read_file(fmt::format("/proc/{}/net/snmp6", pid));
  return sent + (ipv6 ? read_ipv6(*ipv6) : 0);
}

}  // namespace godwit::network
