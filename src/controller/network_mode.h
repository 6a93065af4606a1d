// What becomes of a pod's address, as the Migration names it and as agents do.
#pragma once

#include <optional>
#include <string_view>

#include "agent/network_mode.h"
#include "api/migration.h"

namespace godwit::controller {

inline agent::NetworkMode agent_mode(api::NetworkMode mode) {
  switch (mode) {
    case api::NetworkMode::preserve:
      return agent::NetworkMode::preserve;
    case api::NetworkMode::reconnect:
      return agent::NetworkMode::reconnect;
    case api::NetworkMode::automatic:
      break;
  }
  return agent::NetworkMode::automatic;
}

// What Auto came to. Nothing: an agent did not say.
inline std::optional<api::NetworkMode> api_mode(std::string_view agents) {
  const auto mode = agent::network_mode_from(agents);
  if (mode == agent::NetworkMode::preserve) return api::NetworkMode::preserve;
  if (mode == agent::NetworkMode::reconnect) return api::NetworkMode::reconnect;
  return std::nullopt;
}

}  // namespace godwit::controller
