// What a destination writes down for whoever has to finish, or answer for, its session.
#pragma once

#include <sys/types.h>

#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::agent {

enum class Verdict : uint8_t {
  open,     // no GO yet
  go,       // GO was said and is being obeyed
  refused,  // it never ran here and never will
};

struct DestinationRecord {
  Verdict verdict = Verdict::open;
  uint32_t epoch = 0;
  std::string source;  // the node that it came from, as its certificate names it
  std::string container;
  std::string interface;  // of the container, where packets were parked
  pid_t init_pid = 0;     // 0: not restored yet
  std::string freezer_directory;
  bool memory_complete = false;  // all pages are with the container: it needs no worker any more
};

nlohmann::json to_json(const DestinationRecord& record);
Result<DestinationRecord> destination_record_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
