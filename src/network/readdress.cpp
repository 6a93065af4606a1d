#include "network/readdress.h"

#include <sstream>
#include <vector>

#include "network/address_book.h"
#include "os/subprocess.h"

namespace godwit::network {
namespace {

constexpr auto ip_time = std::chrono::seconds(10);

bool is_six(const std::string& address) {
  return address.find(':') != std::string::npos;
}

Result<> ip(const std::string& netns_path, std::vector<std::string> words) {
  words.insert(words.begin(), "ip");
  GODWIT_TRY(os::run_checked({.argv = std::move(words), .network_namespace = netns_path}, Deadline::after(ip_time)));
  return {};
}

}  // namespace

Result<> configure_interface(const std::string& netns_path, const InterfaceConfig& config) {
  for (const std::string& address : config.addresses) {
    std::vector<std::string> words{"addr", "add", address, "dev", config.name};
    if (is_six(address)) words.emplace_back("nodad");
    if (!config.prefix_routes) words.emplace_back("noprefixroute");
    GODWIT_TRY(ip(netns_path, words));
  }
  GODWIT_TRY(ip(netns_path, {"link", "set", config.name, "up"}));
  for (const std::string& route : config.routes) {
    std::vector<std::string> words{is_six(route) ? "-6" : "-4", "route", "replace"};
    std::istringstream parts(route);
    for (std::string word; parts >> word;) words.push_back(word);
    words.insert(words.end(), {"dev", config.name});
    GODWIT_TRY(ip(netns_path, words));
  }
  return {};
}

Result<> readdress(const std::string& netns_path, const InterfaceConfig& config) {
  GODWIT_TRY(ip(netns_path, {"addr", "flush", "dev", config.name, "scope", "global"}));
  // What network plugins have set; the kernel's own go with the addresses, and those of link-local ones stay.
  for (const char* family : {"-4", "-6"}) {
    for (const char* protocol : {"boot", "static"}) {
      GODWIT_TRY(ip(netns_path, {family, "route", "flush", "dev", config.name, "proto", protocol}));
    }
  }
  GODWIT_TRY(ip(netns_path, {"link", "set", config.name, "address", config.mac, "mtu", std::to_string(config.mtu)}));
  return configure_interface(netns_path, config);
}

Result<> borrow_addresses(const std::string& netns_path, const InterfaceConfig& config) {
  for (const std::string& address : config.addresses) {
    std::vector<std::string> words{"addr", "replace", without_prefix(address), "dev", "lo"};
    if (is_six(address)) words.emplace_back("nodad");
    GODWIT_TRY(ip(netns_path, words));
  }
  return {};
}

Result<> return_addresses(const std::string& netns_path, const InterfaceConfig& config) {
  for (const std::string& address : config.addresses) {
    const std::string single = without_prefix(address) + (is_six(address) ? "/128" : "/32");
    GODWIT_TRY(ip(netns_path, {"addr", "del", single, "dev", "lo"}));
  }
  return {};
}

}  // namespace godwit::network
