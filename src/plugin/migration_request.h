// The Migration that `kubectl godwit migrate` asks for. Pure: options in, JSON out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace godwit::plugin {

// What is left out is for the resource definition's defaults to say.
struct MigrationRequest {
  std::string pod;
  std::string destination;  // empty: to be chosen
  std::string network_mode;
  std::string optimize_for;
  std::optional<int> iterations;
  std::optional<int64_t> dirty_pages_threshold;
  std::optional<double> freeze_time_ms;
  bool without_tcp = false;
};

// Its name is the server's to complete: "<pod>-<five characters>".
nlohmann::json make_migration(const MigrationRequest& request, const std::string& namespace_name);

}  // namespace godwit::plugin
