#include "plugin/migration_request.h"

#include <fmt/format.h>

#include "api/names.h"

namespace godwit::plugin {

using nlohmann::json;

json make_migration(const MigrationRequest& request, const std::string& namespace_name) {
  json options = json::object();
  if (!request.network_mode.empty()) options["networkMode"] = request.network_mode;
  if (!request.optimize_for.empty()) options["optimizeFor"] = request.optimize_for;
  if (request.iterations) options["iterations"] = *request.iterations;
  if (request.dirty_pages_threshold) options["dirtyPagesThreshold"] = *request.dirty_pages_threshold;
  if (request.freeze_time_ms) options["requestedFreezeTime"] = fmt::format("{:.3f}ms", *request.freeze_time_ms);
  if (request.without_tcp) options["withTcp"] = false;
  json spec = {{"podName", request.pod}};
  if (!request.destination.empty()) spec["destination"] = request.destination;
  if (!options.empty()) spec["options"] = std::move(options);
  return {{"apiVersion", api::migrations.api_version()},
          {"kind", api::migrations.kind},
          {"metadata", {{"generateName", request.pod + "-"}, {"namespace", namespace_name}}},
          {"spec", std::move(spec)}};
}

}  // namespace godwit::plugin
