// What a source writes down for whoever has to finish its session.
#pragma once

#include <sys/types.h>

#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "network/interface_config.h"

namespace godwit::agent {

struct SourceRecord {
  bool given_away = false;  // GO may have been said
  uint32_t epoch = 0;
  std::string container;
  pid_t init_pid = 0;
  std::string freezer_directory;
  network::InterfaceConfig interface;
  std::string peer_address;    // "10.88.0.12:9876"
  std::string peer_name;       // of its certificate
  std::string peer_memory_id;  // of its node (session_directory.h), as it was when it was prepared
};

nlohmann::json to_json(const SourceRecord& record);
Result<SourceRecord> source_record_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
