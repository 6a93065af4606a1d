#include "api/migration.h"

#include <charconv>

#include "api/conditions.h"
#include "api/enum_names.h"
#include "kube/json_path.h"

namespace godwit::api {
namespace {

using kube::number_at;
using kube::text_at;
using kube::value_at;
using nlohmann::json;

constexpr EnumNames<OptimizeFor, 2> optimize_for_names{
    {{OptimizeFor::freeze_time, "FreezeTime"}, {OptimizeFor::dump_time, "DumpTime"}}};
constexpr EnumNames<NetworkMode, 3> network_mode_names{
    {{NetworkMode::automatic, "Auto"}, {NetworkMode::preserve, "Preserve"}, {NetworkMode::reconnect, "Reconnect"}}};
constexpr EnumNames<MigrationState, 4> state_names{{{MigrationState::pending, "Pending"},
                                                    {MigrationState::running, "Running"},
                                                    {MigrationState::completed, "Completed"},
                                                    {MigrationState::failed, "Failed"}}};
constexpr EnumNames<MigrationPhase, 5> phase_names{{{MigrationPhase::pre_dump, "Pre-dump"},
                                                    {MigrationPhase::checkpoint, "Checkpoint"},
                                                    {MigrationPhase::restore, "Restore"},
                                                    {MigrationPhase::complete, "Complete"},
                                                    {MigrationPhase::failed, "Failed"}}};

constexpr int iterations_max = 1000;

template <typename T, size_t n>
Result<> read_enum(const json& options, const char* pointer, const EnumNames<T, n>& names, T& value) {
  const std::string text = text_at(options, pointer);
  if (text.empty()) return {};
  const auto known = value_of_name(names, text);
  if (!known) return fail("spec.options{}: \"{}\" is none of its values", pointer, text);
  value = *known;
  return {};
}

Result<MigrationOptions> read_options(const json& spec) {
  MigrationOptions read;
  const json* options = value_at(spec, "/options");
  if (options == nullptr) return read;
  if (value_at(*options, "/iterations") != nullptr) {
    const int64_t iterations = number_at(*options, "/iterations");
    if (iterations < 1 || iterations > iterations_max) {
      return fail("spec.options.iterations is not from 1 to {}", iterations_max);
    }
    read.iterations = static_cast<int>(iterations);
  }
  read.dirty_pages_threshold = number_at(*options, "/dirtyPagesThreshold");
  if (read.dirty_pages_threshold < 0) return fail("spec.options.dirtyPagesThreshold is negative");
  if (const std::string time = text_at(*options, "/requestedFreezeTime"); !time.empty()) {
    GODWIT_ASSIGN(read.requested_freeze_ms, parse_freeze_time(time));
  }
  if (const json* with_tcp = value_at(*options, "/withTcp"); with_tcp != nullptr && with_tcp->is_boolean()) {
    read.with_tcp = with_tcp->get<bool>();
  }
  GODWIT_TRY(read_enum(*options, "/optimizeFor", optimize_for_names, read.optimize_for));
  GODWIT_TRY(read_enum(*options, "/networkMode", network_mode_names, read.network_mode));
  return read;
}

std::optional<double> real_at(const json& object, const char* pointer) {
  const json* value = value_at(object, pointer);
  return value != nullptr && value->is_number() ? std::optional(value->get<double>()) : std::nullopt;
}

void put(json& object, const char* member, const std::string& text) {
  if (text.empty()) {
    object.erase(member);
  } else {
    object[member] = text;
  }
}

void put(json& object, const char* member, const std::optional<double>& number) {
  if (number) {
    object[member] = *number;
  } else {
    object.erase(member);
  }
}

void write_rounds(json& status, const std::vector<MigrationRound>& rounds) {
  if (rounds.empty()) {
    status.erase("rounds");
    return;
  }
  json& all = status["rounds"];
  if (!all.is_array()) all = json::array();
  while (all.size() > rounds.size()) all.erase(all.size() - 1);
  for (size_t i = 0; i < rounds.size(); ++i) {
    json& place = i < all.size() ? all[i] : all.emplace_back(json::object());
    place["number"] = rounds[i].number;
    place["pages"] = rounds[i].pages;
    place["bytes"] = rounds[i].bytes;
    place["seconds"] = rounds[i].seconds;
  }
}

}  // namespace

const char* to_string(OptimizeFor value) {
  return name_of_value(optimize_for_names, value);
}
const char* to_string(NetworkMode value) {
  return name_of_value(network_mode_names, value);
}
const char* to_string(MigrationState value) {
  return name_of_value(state_names, value);
}
const char* to_string(MigrationPhase value) {
  return name_of_value(phase_names, value);
}

Result<double> parse_freeze_time(const std::string& text) {
  double total_ms = 0;
  const char* at = text.data();
  const char* end = text.data() + text.size();
  while (at != end) {
    double number = 0;
    const auto parsed = std::from_chars(at, end, number, std::chars_format::fixed);
    const std::string_view rest(parsed.ptr, static_cast<size_t>(end - parsed.ptr));
    const bool in_ms = rest.starts_with("ms");
    const bool digits = *at >= '0' && *at <= '9';  // from_chars() takes "inf" and "nan" too
    if (!digits || parsed.ec != std::errc() || (!in_ms && !rest.starts_with("s"))) {
      return fail("spec.options.requestedFreezeTime: \"{}\" is no time such as 150ms or 1.5s", text);
    }
    total_ms += in_ms ? number : number * 1000;
    at = parsed.ptr + (in_ms ? 2 : 1);
  }
  if (total_ms < 1) return fail("spec.options.requestedFreezeTime: \"{}\" is less than 1ms", text);
  return total_ms;
}

Result<MigrationSpec> read_spec(const json& migration) {
  const json* spec = value_at(migration, "/spec");
  if (spec == nullptr || !spec->is_object()) return fail("spec is missing");
  MigrationSpec read;
  read.pod_name = text_at(*spec, "/podName");
  if (read.pod_name.empty()) return fail("spec.podName is missing");
  read.destination = text_at(*spec, "/destination");
  GODWIT_ASSIGN(read.options, read_options(*spec));
  return read;
}

MigrationStatus read_status(const json& migration) {
  MigrationStatus read;
  const json* status = value_at(migration, "/status");
  if (status == nullptr) return read;
  read.observed_generation = number_at(*status, "/observedGeneration");
  read.state = value_of_name(state_names, text_at(*status, "/state")).value_or(MigrationState::pending);
  read.phase = value_of_name(phase_names, text_at(*status, "/phase")).value_or(MigrationPhase::none);
  read.reason = text_at(*status, "/reason");
  read.message = text_at(*status, "/message");
  read.source_node = text_at(*status, "/sourceNode");
  read.destination_node = text_at(*status, "/destinationNode");
  read.pod_uid = text_at(*status, "/podUID");
  read.clone_name = text_at(*status, "/cloneName");
  read.session = text_at(*status, "/session");
  read.source_container = text_at(*status, "/sourceContainer");
  if (const json* companions = value_at(*status, "/sourceCompanions");
      companions != nullptr && companions->is_array()) {
    for (const json& name : *companions) {
      if (name.is_string()) read.companions.push_back(name.get<std::string>());
    }
  }
  read.recovering = kube::flag_at(*status, "/recovering");
  read.restarting = text_at(*status, "/restarting");
  read.network_mode = value_of_name(network_mode_names, text_at(*status, "/networkMode"));
  if (const json* rounds = value_at(*status, "/rounds"); rounds != nullptr && rounds->is_array()) {
    for (const json& round : *rounds) {
      read.rounds.push_back({number_at(round, "/number"), number_at(round, "/pages"), number_at(round, "/bytes"),
                             real_at(round, "/seconds").value_or(0)});
    }
  }
  read.pause_ms = real_at(*status, "/pauseMs");
  read.client_gap_ms = real_at(*status, "/clientGapMs");
  read.start_time = text_at(*status, "/startTime");
  read.checkpoint_time = text_at(*status, "/checkpointTime");
  read.resume_time = text_at(*status, "/resumeTime");
  read.completion_time = text_at(*status, "/completionTime");
  return read;
}

void write_status(json& migration, const MigrationStatus& status) {
  json& object = migration["status"];
  if (!object.is_object()) object = json::object();
  put_generation(object, status.observed_generation);
  object["state"] = to_string(status.state);
  put(object, "phase", std::string(to_string(status.phase)));
  put(object, "reason", status.reason);
  put(object, "message", status.message);
  put(object, "sourceNode", status.source_node);
  put(object, "destinationNode", status.destination_node);
  put(object, "podUID", status.pod_uid);
  put(object, "cloneName", status.clone_name);
  put(object, "session", status.session);
  put(object, "sourceContainer", status.source_container);
  if (!status.companions.empty()) object["sourceCompanions"] = status.companions;
  if (status.recovering || object.contains("recovering")) object["recovering"] = status.recovering;
  put(object, "restarting", status.restarting);
  put(object, "networkMode", std::string(status.network_mode ? to_string(*status.network_mode) : ""));
  write_rounds(object, status.rounds);
  // Printer columns cannot count the elements of an array.
  object["iterationsDone"] = status.rounds.size();
  put(object, "pauseMs", status.pause_ms);
  put(object, "clientGapMs", status.client_gap_ms);
  put(object, "startTime", status.start_time);
  put(object, "checkpointTime", status.checkpoint_time);
  put(object, "resumeTime", status.resume_time);
  put(object, "completionTime", status.completion_time);
}

}  // namespace godwit::api
