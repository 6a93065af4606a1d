// What a person sees of one Migration: a pure picture of the states of the object and of its events so far. Finished
// lines (a round, a note, at the end the verdict) are handed out once and stay; live lines are the part that changes.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "api/migration.h"
#include "cli/screen.h"
#include "cli/step_line.h"
#include "cli/text.h"

namespace godwit::plugin {

enum class Outcome : uint8_t { completed, failed, unknown };

// Owned by one verb, used by one thread. Times are the caller's, since the Migration was asked for.
class ProgressView {
 public:
  explicit ProgressView(std::string pod) : pod_(std::move(pod)) {}

  // Each state of the object that became known, in order.
  void on_migration(const nlohmann::json& migration, double now_ms, const cli::Look& look);
  // An event about it. Those that the object's status tells as well are passed over.
  void on_event(const nlohmann::json& event, const cli::Look& look);
  // The object is not there any more; its last state was shown.
  void on_vanished(const cli::Look& look);
  // Its end will not be heard of.
  void give_up(const std::string& why, const cli::Look& look);
  // We have asked for its deletion.
  void cancelling() { cancelling_ = true; }
  void note(const std::string& text, const cli::Look& look, cli::Tone tone = cli::Tone::warning);

  cli::Lines take_finished();
  [[nodiscard]] cli::Lines live(double now_ms, const cli::Look& look) const;
  [[nodiscard]] const std::optional<Outcome>& outcome() const { return outcome_; }
  // Nobody has taken it up yet.
  [[nodiscard]] bool waiting() const { return !outcome_ && status_.state == api::MigrationState::pending; }

 private:
  static constexpr size_t steps = 4;  // waiting, pre-dump, checkpoint, restore

  void enter(size_t step, double now_ms, const cli::Look& look);
  void add_rounds();
  void conclude(double now_ms, const cli::Look& look);
  void say(Outcome outcome, const std::string& text, const cli::Look& look);
  void explain(const std::string& text, const cli::Look& look);
  [[nodiscard]] cli::Line step_line(double now_ms, const cli::Look& look) const;
  [[nodiscard]] std::string describe_command() const;

  std::string pod_;
  std::string namespace_;
  std::string name_;
  api::MigrationStatus status_;
  std::array<cli::Step, steps> steps_;
  std::optional<size_t> running_;  // index of the step that runs
  bool introduced_ = false;
  bool deleted_ = false;
  bool cancelling_ = false;
  int64_t rounds_shown_ = 0;
  std::optional<Outcome> outcome_;
  cli::Lines finished_;
};

}  // namespace godwit::plugin
