// What a destination writes down for whoever has to finish, or answer for, its session.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/recorded_container.h"
#include "agent/recorded_limits.h"
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
  std::string source;                         // the node that it came from, as its certificate names it
  std::string container;                      // as the source calls it, or the first of them
  std::vector<RecordedContainer> containers;  // by their members
  CpuLimits lifted_limits;                    // of these
  bool in_pod = false;                        // their place is a kubelet's
  std::string sandbox;                        // that they are in; empty: their place is no pod
  std::string netns_path;                     // their network namespace
  std::string interface;                      // in it, where packets were parked
  bool memory_complete = false;               // all pages are with the containers: they need no worker any more
};

nlohmann::json to_json(const DestinationRecord& record);
Result<DestinationRecord> destination_record_from_json(const nlohmann::json& json);

}  // namespace godwit::agent
