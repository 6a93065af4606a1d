#include "agent/source_record.h"

namespace godwit::agent {

using nlohmann::json;

json to_json(const SourceRecord& record) {
  return {{"given_away", record.given_away},        {"epoch", record.epoch},
          {"container", record.container},          {"init_pid", record.init_pid},
          {"freezer", record.freezer_directory},    {"interface", network::to_json(record.interface)},
          {"peer_address", record.peer_address},    {"peer_name", record.peer_name},
          {"peer_memory_id", record.peer_memory_id}};
}

Result<SourceRecord> source_record_from_json(const json& source) {
  SourceRecord record;
  try {
    record.given_away = source.at("given_away").get<bool>();
    record.epoch = source.at("epoch").get<uint32_t>();
    record.container = source.at("container").get<std::string>();
    record.init_pid = source.at("init_pid").get<pid_t>();
    record.freezer_directory = source.at("freezer").get<std::string>();
    record.peer_address = source.at("peer_address").get<std::string>();
    record.peer_name = source.at("peer_name").get<std::string>();
    record.peer_memory_id = source.at("peer_memory_id").get<std::string>();
    GODWIT_ASSIGN(record.interface, network::interface_from_json(source.at("interface")));
  } catch (const json::exception& error) {
    return fail("record of a session: {}", error.what());
  }
  return record;
}

}  // namespace godwit::agent
