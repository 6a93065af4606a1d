#include "agent/source_record.h"

namespace godwit::agent {

using nlohmann::json;

json to_json(const SourceRecord& record) {
  return {{"given_away", record.given_away},
          {"epoch", record.epoch},
          {"containers", to_json(record.containers)},
          {"interface", network::to_json(record.interface)},
          {"peer_address", record.peer_address},
          {"peer_name", record.peer_name},
          {"peer_memory_id", record.peer_memory_id},
          {"sandbox", record.sandbox},
          {"peer_session", record.peer_session},
          {"routed", record.routed},
          {"reconnects", record.reconnects},
          {"keeps_tcp", record.keeps_tcp},
          {"lifted_limits", to_json(record.lifted_limits)}};
}

Result<SourceRecord> source_record_from_json(const json& source) {
  SourceRecord record;
  try {
    record.given_away = source.at("given_away").get<bool>();
    record.epoch = source.at("epoch").get<uint32_t>();
    record.containers = recorded_containers_from_json(source.at("containers"));
    if (record.containers.empty()) return fail("record of a session: no containers");
    record.lifted_limits = cpu_limits_from_json(source.at("lifted_limits"));
    record.sandbox = source.at("sandbox").get<std::string>();
    record.keeps_tcp = source.at("keeps_tcp").get<bool>();
    record.reconnects = source.at("reconnects").get<bool>();
    record.routed = source.at("routed").get<bool>();
    record.peer_address = source.at("peer_address").get<std::string>();
    record.peer_name = source.at("peer_name").get<std::string>();
    record.peer_session = source.at("peer_session").get<std::string>();
    record.peer_memory_id = source.at("peer_memory_id").get<std::string>();
    GODWIT_ASSIGN(record.interface, network::interface_from_json(source.at("interface")));
  } catch (const json::exception& error) {
    return fail("record of a session: {}", error.what());
  }
  return record;
}

}  // namespace godwit::agent
