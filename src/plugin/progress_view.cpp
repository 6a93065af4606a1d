#include "plugin/progress_view.h"

#include <algorithm>
#include <numeric>

#include "api/names.h"
#include "cli/units.h"
#include "controller/finalizer.h"
#include "kube/json_path.h"
#include "plugin/paragraph.h"

namespace godwit::plugin {
namespace {

using api::MigrationPhase;
using api::MigrationState;
using cli::Line;
using cli::Lines;
using cli::Look;
using cli::Tone;
using nlohmann::json;

constexpr std::array<std::string_view, 4> step_names{"waiting", "pre-dump", "checkpoint", "restore"};
constexpr size_t pre_dump_step = 1;
constexpr size_t checkpoint_step = 2;

// The step that a status stands for; nothing for an end.
std::optional<size_t> step_of(const api::MigrationStatus& status) {
  if (status.over()) return std::nullopt;
  switch (status.phase) {
    case MigrationPhase::pre_dump:
      return pre_dump_step;
    case MigrationPhase::checkpoint:
      return checkpoint_step;
    case MigrationPhase::restore:
      return 3;
    default:
      return 0;
  }
}

Line round_heading() {
  Line line;
  line.right("round", 7, Tone::faint).right("dirty pages", 13, Tone::faint).right("memory", 12, Tone::faint);
  return std::move(line.right("time", 11, Tone::faint).right("rate", 14, Tone::faint));
}

Line round_line(const api::MigrationRound& round) {
  Line line;
  line.right(std::to_string(round.number), 7);
  line.right(cli::format_count(static_cast<uint64_t>(std::max<int64_t>(round.pages, 0))), 13);
  line.right(cli::format_bytes(static_cast<uint64_t>(std::max<int64_t>(round.bytes, 0))), 12);
  line.right(cli::format_ms(round.seconds * 1000), 11);
  if (round.seconds > 0) line.right(cli::format_rate(static_cast<double>(round.bytes) / round.seconds), 14);
  return line;
}

uint64_t bytes_of(const std::vector<api::MigrationRound>& rounds) {
  return std::accumulate(rounds.begin(), rounds.end(), uint64_t{0}, [](uint64_t sum, const auto& round) {
    return sum + static_cast<uint64_t>(std::max<int64_t>(round.bytes, 0));
  });
}

std::string rounds_in_words(size_t count) {
  return fmt::format("{} {}", count, count == 1 ? "round" : "rounds");
}

}  // namespace

void ProgressView::on_migration(const json& migration, double now_ms, const Look& look) {
  if (outcome_) return;
  namespace_ = kube::namespace_of(migration);
  name_ = kube::name_of(migration);
  status_ = api::read_status(migration);
  if (controller::is_deleted(migration) && !std::exchange(deleted_, true) && !cancelling_ && !status_.over()) {
    note("Somebody has deleted the Migration, which cancels it.", look);
  }
  if (!introduced_ && !status_.destination_node.empty()) {
    introduced_ = true;
    Line line;
    line.add("Moving ").add(pod_, Tone::strong).add(" from ").add(status_.source_node, Tone::strong);
    finished_.push_back(std::move(line.add(" to ").add(status_.destination_node, Tone::strong)));
  }
  const auto step = step_of(status_);
  if (step && *step <= pre_dump_step) enter(*step, now_ms, look);
  add_rounds();
  // It is too brief for the API server to hear of while it lasts.
  if (status_.pause_ms && !steps_[checkpoint_step].began_ms) steps_[checkpoint_step] = {now_ms, *status_.pause_ms};
  if (step && *step > pre_dump_step) enter(*step, now_ms, look);
  if (status_.over()) conclude(now_ms, look);
}

void ProgressView::enter(size_t step, double now_ms, const Look& look) {
  if (running_ == step) return;
  if (running_) steps_[*running_].took_ms = std::max(0.0, now_ms - steps_[*running_].began_ms.value_or(now_ms));
  running_ = step;
  steps_[step] = {now_ms, std::nullopt};
  if (look.live || step == 0) return;
  Line line;
  finished_.push_back(std::move(line.right(cli::format_ms(now_ms), 12).add("  ").add(step_names[step])));
}

void ProgressView::add_rounds() {
  for (const api::MigrationRound& round : status_.rounds) {
    if (round.number <= rounds_shown_) continue;
    if (rounds_shown_ == 0) finished_.push_back(round_heading());
    rounds_shown_ = round.number;
    finished_.push_back(round_line(round));
  }
}

void ProgressView::on_event(const json& event, const Look& look) {
  namespace reasons = api::event_reasons;
  static constexpr std::array told_by_status{reasons::pre_dump_finished, reasons::pod_create_finished,
                                             reasons::migration_finished, reasons::migration_failed};
  const std::string reason = kube::text_at(event, "/reason");
  if (outcome_ || std::ranges::find(told_by_status, reason) != told_by_status.end()) return;
  const bool warning = kube::text_at(event, "/type") == "Warning";
  note(fmt::format("{}: {}", reason, kube::text_at(event, "/note")), look, warning ? Tone::warning : Tone::plain);
}

void ProgressView::on_vanished(const Look& look) {
  if (outcome_) return;
  if (status_.state == MigrationState::running) {
    give_up("the Migration was removed, with its finalizer, before it was over", look);
    return;
  }
  say(Outcome::failed, fmt::format("Cancelled before it began: {} stays where it is", pod_), look);
}

void ProgressView::conclude(double now_ms, const Look& look) {
  if (look.live && running_) {
    steps_[*running_].took_ms = std::max(0.0, now_ms - steps_[*running_].began_ms.value_or(now_ms));
    finished_.push_back(step_line(now_ms, look));
  }
  running_.reset();
  if (status_.state == MigrationState::failed) {
    const bool cancelled = status_.reason == "Cancelled";
    const std::string why = status_.message.empty() ? status_.reason : status_.message;
    say(Outcome::failed, fmt::format("{}: {}", cancelled ? "Cancelled" : pod_ + " was not moved", why), look);
    if (status_.reason == "NotEligible") {
      explain(fmt::format("`kubectl godwit explain {} -n {}` says what to do.", pod_, namespace_), look);
    } else if (!cancelled) {
      explain(fmt::format("`{}` tells the rest.", describe_command()), look);
    }
    return;
  }
  const bool renamed = !status_.clone_name.empty() && status_.clone_name != pod_;
  say(Outcome::completed,
      fmt::format("{} runs on {}{}{}", pod_, status_.destination_node, renamed ? " as " + status_.clone_name : "",
                  status_.pause_ms ? ", after a pause of " + cli::format_ms(*status_.pause_ms) : ""),
      look);
  std::string figures = fmt::format("{} of memory in {}; {} in all", cli::format_bytes(bytes_of(status_.rounds)),
                                    rounds_in_words(status_.rounds.size()), cli::format_ms(now_ms));
  if (status_.client_gap_ms) figures += fmt::format("; clients waited {}", cli::format_ms(*status_.client_gap_ms));
  explain(figures, look);
  if (cancelling_) explain("The cancellation came too late: it had been handed over.", look);
}

void ProgressView::give_up(const std::string& why, const Look& look) {
  if (outcome_) return;
  say(Outcome::unknown, fmt::format("Whether {} moved is not known: {}", pod_, why), look);
  explain(fmt::format("`{}` tells what came of it.", describe_command()), look);
}

std::string ProgressView::describe_command() const {
  return fmt::format("kubectl describe migration {} -n {}", name_, namespace_);
}

void ProgressView::say(Outcome outcome, const std::string& text, const Look& look) {
  outcome_ = outcome;
  const cli::Signs& sign = cli::signs(look.unicode);
  const bool good = outcome == Outcome::completed;
  const std::string_view mark = good ? sign.done : outcome == Outcome::failed ? sign.failed : sign.unknown;
  add_paragraph(finished_, fmt::format("{} {}", mark, text), 2, look, good ? Tone::good : Tone::bad);
}

void ProgressView::explain(const std::string& text, const Look& look) {
  note(text, look, Tone::plain);
}

void ProgressView::note(const std::string& text, const Look& look, Tone tone) {
  add_paragraph(finished_, "  " + text, 2, look, tone);
}

Lines ProgressView::take_finished() {
  return std::exchange(finished_, {});
}

Lines ProgressView::live(double now_ms, const Look& look) const {
  if (!look.live || outcome_ || !running_) return {};
  std::string below;
  if (cancelling_) {
    below = "  cancelling";
  } else if (*running_ == 0) {
    below = "  until the live controller takes it up";
  } else if (!status_.rounds.empty()) {
    below = fmt::format("  {} copied in {}", cli::format_bytes(bytes_of(status_.rounds)),
                        rounds_in_words(status_.rounds.size()));
  }
  return {step_line(now_ms, look), Line(below, Tone::faint)};
}

Line ProgressView::step_line(double now_ms, const Look& look) const {
  return cli::render_steps({.names = step_names,
                            .steps = steps_,
                            .running = running_,
                            .failed = status_.state == MigrationState::failed,
                            .now_ms = now_ms},
                           look);
}

}  // namespace godwit::plugin
