#include "network/packet_rules.h"

#include <fmt/format.h>

#include <sstream>
#include <string_view>

#include "base/deadline.h"
#include "base/log.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

constexpr auto program_time = std::chrono::seconds(5);

Result<std::string> save(const std::string& program, const std::string& netns_path) {
  GODWIT_ASSIGN(const UniqueFd output, os::file_in_memory(""));
  GODWIT_ASSIGN(os::Subprocess saving, os::Subprocess::start({.argv = {program + "-save"},
                                                              .network_namespace = netns_path,
                                                              .descriptors = {{output.get(), 1}, {output.get(), 2}}}));
  GODWIT_ASSIGN(const int status, saving.wait(Deadline::after(program_time)));
  GODWIT_ASSIGN(std::string text, os::read_file(fmt::format("/proc/self/fd/{}", output.get()), packet_rules_bytes_max));
  if (status != 0) return fail("{}-save ended with status {}: {}", program, status, text.substr(0, 200));
  return text;
}

// Tables that were looked at once are there, with chains that let everything pass.
bool has_rules(const std::string& saved) {
  std::istringstream lines(saved);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("-A ")) return true;
    if (line.starts_with(":") && line.find(" ACCEPT ") == std::string::npos) return true;
  }
  return false;
}

}  // namespace

Result<PacketRules> read_packet_rules(pid_t pid) {
  PacketRules rules;
  const std::string netns_path = fmt::format("/proc/{}/ns/net", pid);
  for (const char* program : {"iptables", "ip6tables"}) {
    auto saved = save(program, netns_path);
    if (!saved && program == std::string_view("ip6tables")) {
      log_info("rules for IPv6 are not looked at: {}", saved.error().message);
      continue;
    }
    if (!saved) return std::unexpected(std::move(saved.error()).context("rules of the container's network namespace"));
    // So says the newer kind of iptables of the older kind's tables.
    if (saved->find("iptables-legacy tables present") != std::string::npos) {
      return fail(
          "the container's network namespace has rules that iptables-legacy has made, which this node's {} cannot "
          "tell: make them with iptables-nft",
          program);
    }
    if (has_rules(*saved)) rules[program] = std::move(*saved);
  }
  return rules;
}

Result<> write_packet_rules(const std::string& netns_path, const PacketRules& rules) {
  for (const auto& [program, text] : rules) {
    GODWIT_ASSIGN(const std::string there, save(program, netns_path));
    if (has_rules(there)) continue;
    GODWIT_ASSIGN(const UniqueFd input, os::file_in_memory(text));
    auto done = os::run_checked(
        {.argv = {program + "-restore"}, .network_namespace = netns_path, .descriptors = {{input.get(), 0}}},
        Deadline::after(program_time));
    if (!done) return std::unexpected(std::move(done.error()).context("rules of the container's network namespace"));
  }
  return {};
}

}  // namespace godwit::network
