// The link-layer addresses that a container's kernel has learned of its peers. They go along: without them the first
// packet to each peer would wait for address resolution, which has a timer of a second if its question is lost.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::network {

struct Neighbour {
  std::vector<uint8_t> address;  // 4 or 16 bytes, in network order
  std::array<uint8_t, 6> mac{};

  bool operator==(const Neighbour&) const = default;
};

constexpr size_t neighbours_max = 16384;  // more are left out: they are resolved anew

// [{"address": "10.88.0.1", "mac": "02:00:..."}, ...]
nlohmann::json to_json(const std::vector<Neighbour>& neighbours);
// From a peer: everything is checked.
Result<std::vector<Neighbour>> neighbours_from_json(const nlohmann::json& json);

// The neighbour table of one interface of one network namespace. One thread at a time; each call takes well under a
// millisecond for some hundred entries.
class NeighbourTable {
 public:
  static Result<NeighbourTable> open(const std::string& netns_path, const std::string& interface);

  // Those whose link-layer address is known.
  Result<std::vector<Neighbour>> read();
  // Used at once, and asked again by the kernel when it comes to it (state "stale").
  Result<> write(const std::vector<Neighbour>& neighbours);

 private:
  NeighbourTable(UniqueFd fd, int index) : fd_(std::move(fd)), index_(index) {}
  UniqueFd fd_;
  int index_;
};

}  // namespace godwit::network
