#include "agent/destination_record.h"

namespace godwit::agent {

using nlohmann::json;

namespace {

constexpr const char* verdict_names[] = {"open", "go", "refused"};

}  // namespace

json to_json(const DestinationRecord& record) {
  return {{"verdict", verdict_names[static_cast<size_t>(record.verdict)]},
          {"epoch", record.epoch},
          {"source", record.source},
          {"container", record.container},
          {"containers", to_json(record.containers)},
          {"lifted_limits", to_json(record.lifted_limits)},
          {"in_pod", record.in_pod},
          {"sandbox", record.sandbox},
          {"netns_path", record.netns_path},
          {"interface", record.interface},
          {"memory_complete", record.memory_complete}};
}

Result<DestinationRecord> destination_record_from_json(const json& source) {
  DestinationRecord record;
  try {
    const auto verdict = source.at("verdict").get<std::string>();
    bool known = false;
    for (size_t i = 0; i < std::size(verdict_names); ++i) {
      if (verdict != verdict_names[i]) continue;
      record.verdict = static_cast<Verdict>(i);
      known = true;
    }
    if (!known) return fail("record of a session: unknown verdict '{}'", verdict);
    record.epoch = source.at("epoch").get<uint32_t>();
    record.source = source.at("source").get<std::string>();
    record.container = source.at("container").get<std::string>();
    record.containers = recorded_containers_from_json(source.at("containers"));
    record.lifted_limits = cpu_limits_from_json(source.at("lifted_limits"));
    record.in_pod = source.at("in_pod").get<bool>();
    record.sandbox = source.at("sandbox").get<std::string>();
    record.netns_path = source.at("netns_path").get<std::string>();
    record.interface = source.at("interface").get<std::string>();
    record.memory_complete = source.at("memory_complete").get<bool>();
  } catch (const json::exception& error) {
    return fail("record of a session: {}", error.what());
  }
  return record;
}

}  // namespace godwit::agent
