// What a source's `prepare` and `restore` carry besides their names.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "agent/container_description.h"
#include "agent/network_mode.h"
#include "agent/volume_versions.h"
#include "base/result.h"
#include "network/packet_rules.h"
#include "network/translated_connections.h"

namespace godwit::agent {

struct PrepareBody {
  ContainerDescription container;
  std::string from;               // what the source calls its node
  uint64_t page_store_bytes = 0;  // RAM for pages that wait; 0: no limit but the machine's
  NetworkMode network = NetworkMode::automatic;
  bool keep_tcp = true;  // as it was wanted then; the restore says what it came to
  network::PacketRules packet_rules;
  std::vector<std::string> stdio;  // targets of the first process's descriptors 0, 1, 2
  // The other containers of its pod: members 1, 2, ... of the session; the one above is member 0.
  struct Companion {
    ContainerDescription container;
    std::vector<std::string> stdio;
  };
  std::vector<Companion> companions;
};

// Which of the pages sent belong to which process.
struct RestoreBody {
  struct Process {
    uint32_t index = 0;
    pid_t container_pid = 0;
    bool zombie = false;  // no memory, nothing to restore
    uint32_t member = 0;  // which container's
  };
  struct Mapping {
    uint32_t process = 0;  // index
    uint64_t start = 0;
  };
  struct Object {
    uint32_t index = 0;
    std::string path;
    uint64_t pages = 0;
    std::vector<Mapping> mappings;
  };
  std::vector<Process> processes;
  std::vector<Object> objects;          // shared memory
  std::optional<bool> keep_tcp;         // nothing: as the `prepare` said
  std::vector<VolumeVersion> versions;  // of volumes that the source's kubelet wrote
  std::vector<network::TranslatedConnection> translated;
};

// From a peer: everything is checked. Errors name the member.
Result<PrepareBody> prepare_from_json(const nlohmann::json& json);
Result<RestoreBody> restore_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
