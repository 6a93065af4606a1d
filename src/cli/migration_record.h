// What one migration reported, kept for --json.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/events.h"

namespace godwit::cli {

// Filled by one thread; bounded (rounds and notes beyond the limit are dropped).
struct MigrationRecord {
  static constexpr size_t entries_max = 4096;
  std::vector<agent::RoundEvent> rounds;
  std::vector<std::string> notes;
  agent::TimelineEvent timeline;
  std::optional<agent::ResultEvent> result;

  void on_event(const agent::Event& event);
};

// The members that a move has everywhere: from, to, pause_ms, memory_bytes, bytes_on_wire, rounds,
// frozen_during_precopy_ms, rolled_back.
nlohmann::ordered_json move_json(const agent::ResultEvent& result);
// move_json() and session, container, ok, unknown, reason, notes, round_list and timeline.
nlohmann::ordered_json record_json(const MigrationRecord& record);
// Where the text for people goes: standard output, or standard error if `json_path` is "-", standard output.
int output_for_people(const std::string& json_path);
// Pretty-printed, replaced as a whole; "-" is standard output.
Result<> write_json(const std::string& path, const nlohmann::ordered_json& value);

}  // namespace godwit::cli
