// What a source writes down for whoever has to finish its session.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/recorded_container.h"
#include "agent/recorded_limits.h"
#include "base/result.h"
#include "network/interface_config.h"

namespace godwit::agent {

struct SourceRecord {
  bool given_away = false;  // GO may have been said
  uint32_t epoch = 0;
  std::vector<RecordedContainer> containers;  // one, or those of a pod; all or none of them move
  CpuLimits lifted_limits;                    // of these
  std::string sandbox;  // of their pod, as the container engine calls it; empty: no kubelet made it
  network::InterfaceConfig interface;
  bool reconnects = false;  // the pod gets another address: its peers are told here, when it runs there
  bool keeps_tcp = true;
  bool routed = false;         // the pod is reached by routes
  std::string peer_address;    // "10.88.0.12:9876"
  std::string peer_name;       // of its certificate
  std::string peer_session;    // what the session is called there
  std::string peer_memory_id;  // of its node (session_directory.h), as it was when it was prepared
};

nlohmann::json to_json(const SourceRecord& record);
Result<SourceRecord> source_record_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
