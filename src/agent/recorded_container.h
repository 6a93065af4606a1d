// A container as a session's record has it, at either end.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace godwit::agent {

struct RecordedContainer {
  std::string name;    // as runc calls it here; empty at a destination where it has no place yet
  pid_t init_pid = 0;  // 0: not restored yet
  std::string freezer_directory;
};

nlohmann::json to_json(const std::vector<RecordedContainer>& containers);
// Throws json::exception, as the reading of records does.
std::vector<RecordedContainer> recorded_containers_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
