#include "cli/migration_view.h"

#include <algorithm>

#include "cli/timeline.h"
#include "cli/units.h"

namespace godwit::cli {
namespace {

using agent::Phase;

constexpr std::array<Phase, 5> phase_order{Phase::prepare, Phase::pre_copy, Phase::freeze, Phase::restore,
                                           Phase::complete};

std::optional<size_t> index_of(Phase phase) {
  for (size_t i = 0; i < phase_order.size(); ++i) {
    if (phase_order[i] == phase) return i;
  }
  return std::nullopt;
}

// The table of rounds: a column each, the widest at which all of it fits.
bool wire_column_fits(const Look& look) {
  return look.width >= 71;
}

Line round_heading(const Look& look) {
  Line line;
  line.right("round", 7, Tone::faint).right("dirty pages", 13, Tone::faint).right("memory", 11, Tone::faint);
  if (wire_column_fits(look)) line.right("on wire", 11, Tone::faint);
  line.right("rate", 13, Tone::faint).right("pause if now", 14, Tone::faint);
  return line;
}

Line round_line(const agent::RoundEvent& event, const Look& look) {
  Line line;
  line.right(std::to_string(event.round), 7).right(format_count(event.dirty_pages), 13);
  line.right(format_bytes(event.bytes), 11);
  if (wire_column_fits(look)) line.right(format_bytes(event.wire_bytes), 11);
  line.right(format_rate(event.rate_bytes_per_s), 13).right(format_ms(event.predicted_pause_ms), 14);
  return line;
}

}  // namespace

void MigrationView::on_event(const agent::Event& event, double now_ms, const Look& look) {
  std::visit([&](const auto& one) { on(one, now_ms, look); }, event);
}

void MigrationView::note(const std::string& text, const Look& look, Tone tone) {
  for (Line& line : wrap("  " + text, look.width - 1, 2, tone)) finished_.push_back(std::move(line));
}

Lines MigrationView::take_finished() {
  return std::exchange(finished_, {});
}

void MigrationView::on(const agent::SessionEvent& event, double, const Look& look) {
  session_ = event;
  Line line;
  line.add("Moving ").add(event.container, Tone::strong).add(" from ").add(event.from, Tone::strong);
  line.add(" to ").add(event.to, Tone::strong);
  const std::string session = "session " + event.session;
  const size_t used = line.width() + 2;
  if (used + columns_of(session) < look.width) {
    line.add("  ").right(session, look.width - 1 - used, Tone::faint);
    finished_.push_back(line);
  } else {
    finished_.push_back(line);
    finished_.push_back(Line("  " + session, Tone::faint));
  }
}

void MigrationView::end_running_phase(double at_ms) {
  if (!running_) return;
  Step& state = phases_[*running_];
  state.took_ms = std::max(0.0, at_ms - state.began_ms.value_or(at_ms));
}

void MigrationView::on(const agent::PhaseEvent& event, double now_ms, const Look& look) {
  agent_clock_offset_ms_ = now_ms - event.at_ms;
  total_ms_ = event.at_ms;
  end_running_phase(event.at_ms);
  progress_.reset();
  if (event.phase == Phase::failed) {
    failed_ = true;
  } else {
    running_ = index_of(event.phase);
    phases_[*running_] = {event.at_ms, std::nullopt};
  }
  if (look.live) return;
  Line line;
  line.add("  ").right(format_ms(event.at_ms), 10).add("  ").add(agent::phase_name(event.phase));
  finished_.push_back(line);
}

void MigrationView::on(const agent::ProgressEvent& event, double, const Look&) {
  progress_ = event;
}

void MigrationView::on(const agent::RoundEvent& event, double, const Look& look) {
  if (!std::exchange(round_seen_, true)) finished_.push_back(round_heading(look));
  finished_.push_back(round_line(event, look));
  predicted_pause_ms_ = event.predicted_pause_ms;
  progress_.reset();
}

// That the rounds end because they have done their work is what one expects.
void MigrationView::on(const agent::MissedRoundEvent& event, double now_ms, const Look& look) {
  if (event.failed) on(agent::NoteEvent{fmt::format("round {} failed: {}", event.round, event.reason)}, now_ms, look);
}

void MigrationView::on(const agent::NoteEvent& event, double, const Look& look) {
  Lines lines = wrap("  note: " + event.text, look.width - 1, 2);
  for (Line& line : lines) finished_.push_back(std::move(line));
}

void MigrationView::on(const agent::TimelineEvent& event, double, const Look&) {
  timeline_ = event;
}

void MigrationView::on(const agent::ResultEvent& event, double now_ms, const Look& look) {
  result_ = event;
  if (running_ && !phases_[*running_].took_ms) end_running_phase(now_ms - agent_clock_offset_ms_);
  if (!event.ok) failed_ = true;
  if (look.live && running_) finished_.push_back(phase_line(now_ms, look));
  running_.reset();
  if (!timeline_.steps.empty() && event.pause_ms > 0) {
    finished_.push_back({});
    for (Line& line : render_timeline(timeline_, event.pause_ms, look.width, look.unicode)) {
      finished_.push_back(std::move(line));
    }
    finished_.push_back({});
  }
  for (Line& line : verdict(event, look)) finished_.push_back(std::move(line));
}

Lines MigrationView::live(double now_ms, const Look& look) const {
  if (!look.live || result_ || !running_) return {};
  return {phase_line(now_ms, look), progress_line(look)};
}

// The last phase, complete, is a state and not a span of time.
Line MigrationView::phase_line(double now_ms, const Look& look) const {
  std::array<std::string_view, phases - 1> names;
  std::ranges::transform(phase_order.begin(), phase_order.end() - 1, names.begin(), agent::phase_name);
  return render_steps({.names = names,
                       .steps = std::span(phases_).first(phases - 1),
                       .running = running_,
                       .failed = failed_,
                       .now_ms = now_ms - agent_clock_offset_ms_},
                      look);
}

Line MigrationView::progress_line(const Look& look) const {
  const Signs& sign = signs(look.unicode);
  Line line;
  if (!progress_ || progress_->bytes_total == 0) {
    line.add(predicted_pause_ms_ ? "  expected pause: " + format_ms(*predicted_pause_ms_) : "", Tone::faint);
    return line;
  }
  const double part =
      std::clamp(static_cast<double>(progress_->bytes_sent) / static_cast<double>(progress_->bytes_total), 0.0, 1.0);
  const std::string before = fmt::format("  round {} ", progress_->round);
  std::string after = fmt::format(" {:3.0f} %  {} of {}", part * 100, format_bytes(progress_->bytes_sent),
                                  format_bytes(progress_->bytes_total));
  if (predicted_pause_ms_ && look.width >= 100)
    after += fmt::format("  pause if now {}", format_ms(*predicted_pause_ms_));
  const size_t fixed = columns_of(before) + columns_of(after) + 1;
  const size_t cells = std::min<size_t>(60, look.width > fixed + 4 ? look.width - fixed : 4);
  const auto full = static_cast<size_t>(part * static_cast<double>(cells));
  std::string filled;
  std::string open;
  for (size_t i = 0; i < cells; ++i) (i < full ? filled : open) += i < full ? sign.bar_full : sign.bar_empty;
  line.add(before).add(filled, Tone::good).add(open, Tone::faint).add(after);
  return line;
}

Lines MigrationView::verdict(const agent::ResultEvent& event, const Look& look) const {
  const Signs& sign = signs(look.unicode);
  const std::string from = event.from.empty() ? session_.from : event.from;
  const std::string to = event.to.empty() ? session_.to : event.to;
  Lines lines;
  const auto say = [&](std::string_view mark, Tone tone, const std::string& text) {
    for (const Line& line : wrap(fmt::format("{} {}", mark, text), look.width - 1, 2, tone)) lines.push_back(line);
  };
  const auto explain = [&](const std::string& text) {
    for (const Line& line : wrap("  " + text, look.width - 1, 2)) lines.push_back(line);
  };
  if (event.ok) {
    say(sign.done, Tone::good,
        fmt::format("{} runs on {}, after a pause of {}", container_, to, format_ms(event.pause_ms)));
    explain(fmt::format("{} of memory, {} on the wire, {} {}; {} in all", format_bytes(event.memory_bytes),
                        format_bytes(event.bytes_on_wire), event.rounds, event.rounds == 1 ? "round" : "rounds",
                        format_ms(total_ms_)));
    return lines;
  }
  const std::string reason = event.reason.empty() ? "the agent gave no reason" : event.reason;
  if (event.unknown) {
    say(sign.unknown, Tone::bad, fmt::format("Whether {} moved is not known: {}", container_, reason));
    explain(fmt::format("At most one of the two nodes runs it. Ask both: `godwit ps` on {} and on {}.",
                        from.empty() ? "the source" : from, to.empty() ? "the destination" : to));
    return lines;
  }
  if (event.lost) {
    say(sign.failed, Tone::bad, fmt::format("{} is lost: {}", container_, reason));
    explain("It runs on neither node.");
    return lines;
  }
  say(sign.failed, Tone::bad, fmt::format("{} was not moved: {}", container_, reason));
  if (event.rolled_back) {
    explain(fmt::format("It was frozen for {} and goes on where it was{}.", format_ms(event.pause_ms),
                        from.empty() ? "" : ", on " + from));
  } else if (!event.session.empty()) {
    explain(fmt::format("It was never frozen{}.", from.empty() ? "" : " and stays on " + from));
  }
  return lines;
}

}  // namespace godwit::cli
