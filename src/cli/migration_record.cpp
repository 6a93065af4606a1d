#include "cli/migration_record.h"

#include <unistd.h>

#include "os/file.h"

namespace godwit::cli {

using nlohmann::ordered_json;

void MigrationRecord::on_event(const agent::Event& event) {
  if (const auto* round = std::get_if<agent::RoundEvent>(&event)) {
    if (rounds.size() < entries_max) rounds.push_back(*round);
  } else if (const auto* note = std::get_if<agent::NoteEvent>(&event)) {
    if (notes.size() < entries_max) notes.push_back(note->text);
  } else if (const auto* steps = std::get_if<agent::TimelineEvent>(&event)) {
    timeline = *steps;
  } else if (const auto* ended = std::get_if<agent::ResultEvent>(&event)) {
    result = *ended;
  }
}

ordered_json move_json(const agent::ResultEvent& result) {
  return {{"from", result.from},
          {"to", result.to},
          {"pause_ms", result.pause_ms},
          {"memory_bytes", result.memory_bytes},
          {"bytes_on_wire", result.bytes_on_wire},
          {"rounds", result.rounds},
          {"frozen_during_precopy_ms", result.frozen_during_precopy_ms},
          {"rolled_back", result.rolled_back}};
}

ordered_json record_json(const MigrationRecord& record) {
  const agent::ResultEvent result = record.result.value_or(agent::ResultEvent{.unknown = true});
  ordered_json object = move_json(result);
  object["session"] = result.session;
  object["container"] = result.container;
  object["ok"] = result.ok;
  object["unknown"] = result.unknown;
  object["lost"] = result.lost;
  object["reason"] = result.reason;
  object["notes"] = record.notes;
  object["round_list"] = ordered_json::array();
  for (const agent::RoundEvent& round : record.rounds) {
    object["round_list"].push_back({{"round", round.round},
                                    {"dirty_pages", round.dirty_pages},
                                    {"bytes", round.bytes},
                                    {"wire_bytes", round.wire_bytes},
                                    {"seconds", round.seconds},
                                    {"rate_bytes_per_s", round.rate_bytes_per_s},
                                    {"predicted_pause_ms", round.predicted_pause_ms}});
  }
  object["timeline"] = ordered_json::array();
  for (const agent::TimelineStep& step : record.timeline.steps) {
    object["timeline"].push_back({{"name", step.name}, {"start_ms", step.start_ms}, {"ms", step.duration_ms}});
  }
  return object;
}

int output_for_people(const std::string& json_path) {
  return json_path == "-" ? STDERR_FILENO : STDOUT_FILENO;
}

Result<> write_json(const std::string& path, const ordered_json& value) {
  const std::string text = value.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
  if (path == "-") return os::write_all(STDOUT_FILENO, text.data(), text.size());
  return os::write_file_atomic(path, text, 0644);
}

}  // namespace godwit::cli
