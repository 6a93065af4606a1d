// Connections whose addresses or ports a container's own rules translate, as those of a service mesh do (REDIRECT).
// What an established one is translated to stands in connection tracking alone: without its entry a packet that the
// container sends first would leave as it is, and be answered by a reset.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"

namespace godwit::network {

struct Endpoint {
  std::string address;  // of either family
  uint16_t port = 0;
  bool operator==(const Endpoint&) const = default;
};

struct TranslatedConnection {
  uint8_t protocol = 0;   // IPPROTO_TCP or IPPROTO_UDP
  Endpoint from;          // of its first packet, as it was sent
  Endpoint to;            // likewise
  Endpoint answers_from;  // who it came to in truth
  Endpoint answers_to;    // as whom it came there
  uint32_t timeout_s = 0;
  uint16_t zone = 0;
  uint8_t tcp_state = 0;  // enum tcp_conntrack
  bool assured = false;   // not the first to go when the table is full
  bool operator==(const TranslatedConnection&) const = default;
};

constexpr size_t translated_max = 10'000;  // more of them are left out

nlohmann::json to_json(const std::vector<TranslatedConnection>& connections);
// From a peer: everything is checked.
Result<std::vector<TranslatedConnection>> translated_from_json(const nlohmann::json& json);

// Of a network namespace: those that both sides have spoken in, and that have not ended.
Result<std::vector<TranslatedConnection>> read_translated(const std::string& netns_path);
// Makes them; those that are there already stay as they are. Returns how many could not be made. Some 10 us each.
Result<size_t> write_translated(const std::string& netns_path, const std::vector<TranslatedConnection>& connections);

}  // namespace godwit::network
