// What becomes of a pod's address and connections.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

namespace godwit::agent {

enum class NetworkMode : uint8_t {
  automatic,  // preserve where the network of the destination's node can do it, else reconnect
  preserve,   // the address goes along
  reconnect,  // the pod has a new address at the destination, and its connections are ended, so that both ends know
};

inline constexpr std::array<std::pair<NetworkMode, std::string_view>, 3> network_mode_names{
    {{NetworkMode::automatic, "auto"}, {NetworkMode::preserve, "preserve"}, {NetworkMode::reconnect, "reconnect"}}};

inline std::string_view network_mode_name(NetworkMode mode) {
  return network_mode_names.at(static_cast<size_t>(mode)).second;
}
inline std::optional<NetworkMode> network_mode_from(std::string_view name) {
  for (const auto& [mode, known] : network_mode_names) {
    if (known == name) return mode;
  }
  return std::nullopt;
}

}  // namespace godwit::agent
