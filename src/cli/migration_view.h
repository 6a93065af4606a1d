// What a person sees of one migration: a pure picture of the events so far. Finished lines (a round, a note, at the
// end timeline and verdict) are handed out once and stay; live lines (phases, the running round) are the part that
// changes. The verb puts them on a Screen; `inspect` and the demo show the same.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "agent/events.h"
#include "cli/screen.h"
#include "cli/step_line.h"
#include "cli/text.h"

namespace godwit::cli {

// Owned by one verb, used by one thread. Times are the caller's, so that the picture is a function of its input.
class MigrationView {
 public:
  explicit MigrationView(std::string container) : container_(std::move(container)) {}

  // `now_ms` since the request was sent; not smaller than before.
  void on_event(const agent::Event& event, double now_ms, const Look& look);
  // Something to be said that no event says.
  void note(const std::string& text, const Look& look, Tone tone = Tone::warning);
  // Finished lines since the last call.
  Lines take_finished();
  [[nodiscard]] Lines live(double now_ms, const Look& look) const;
  [[nodiscard]] const std::optional<agent::ResultEvent>& result() const { return result_; }
  [[nodiscard]] const agent::SessionEvent& session() const { return session_; }

 private:
  static constexpr size_t phases = 5;  // prepare to complete

  void on(const agent::SessionEvent& event, double now_ms, const Look& look);
  void on(const agent::PhaseEvent& event, double now_ms, const Look& look);
  void on(const agent::ProgressEvent& event, double now_ms, const Look& look);
  void on(const agent::RoundEvent& event, double now_ms, const Look& look);
  void on(const agent::MissedRoundEvent& event, double now_ms, const Look& look);
  void on(const agent::NoteEvent& event, double now_ms, const Look& look);
  void on(const agent::TimelineEvent& event, double now_ms, const Look& look);
  void on(const agent::ContainersEvent&, double, const Look&) {}
  void on(const agent::SessionsEvent&, double, const Look&) {}
  void on(const agent::AddressesEvent&, double, const Look&) {}
  void on(const agent::ResultEvent& event, double now_ms, const Look& look);

  void end_running_phase(double at_ms);
  [[nodiscard]] Line phase_line(double now_ms, const Look& look) const;
  [[nodiscard]] Line progress_line(const Look& look) const;
  [[nodiscard]] Lines verdict(const agent::ResultEvent& event, const Look& look) const;

  std::string container_;
  agent::SessionEvent session_;
  std::array<Step, phases> phases_;
  std::optional<size_t> running_;  // index of the phase that runs
  bool failed_ = false;
  bool round_seen_ = false;
  double agent_clock_offset_ms_ = 0;  // our clock minus the agent's at_ms, at its last phase
  double total_ms_ = 0;               // the agent's at_ms of the last phase
  std::optional<agent::ProgressEvent> progress_;
  std::optional<double> predicted_pause_ms_;
  agent::TimelineEvent timeline_;
  std::optional<agent::ResultEvent> result_;
  Lines finished_;
};

}  // namespace godwit::cli
