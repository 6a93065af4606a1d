#include "cli/timeline.h"

#include <algorithm>
#include <cmath>
#include <map>

namespace godwit::cli {
namespace {

using agent::TimelineStep;

constexpr size_t name_columns_min = 12;
constexpr size_t name_columns_max = 34;
constexpr size_t ms_columns = 9;

// By beginning; those that begin together as they came.
std::multimap<double, TimelineStep> in_order(const agent::TimelineEvent& timeline) {
  std::multimap<double, TimelineStep> steps;
  for (const TimelineStep& step : timeline.steps) steps.emplace(step.start_ms, step);
  return steps;
}

// A bar over `cells` columns from `from` to `to` (parts of the whole, 0 to 1), to half a column, never empty.
std::string bar(double from, double to, size_t cells, const Signs& sign) {
  const auto halves = static_cast<double>(cells * 2);
  auto first = static_cast<size_t>(std::lround(std::clamp(from, 0.0, 1.0) * halves));
  auto last = static_cast<size_t>(std::lround(std::clamp(to, 0.0, 1.0) * halves));
  first = std::min(first, cells * 2 - 1);
  last = std::max(last, first + 1);
  std::string out;
  for (size_t cell = 0; cell < cells; ++cell) {
    const bool left = first <= cell * 2 && last > cell * 2;
    const bool right = first <= cell * 2 + 1 && last > cell * 2 + 1;
    if (left && right) {
      out += sign.bar_full;
    } else if (left) {
      out += sign.bar_left;
    } else if (right) {
      out += sign.bar_right;
    } else {
      out += ' ';
    }
  }
  return out;
}

}  // namespace

double uncovered_ms(const agent::TimelineEvent& timeline, double pause_ms) {
  double covered_to = 0;
  double uncovered = 0;
  for (const auto& [start_ms, step] : in_order(timeline)) {
    if (start_ms >= pause_ms) break;
    if (start_ms > covered_to) uncovered += start_ms - covered_to;
    covered_to = std::max(covered_to, start_ms + step.duration_ms);
  }
  return uncovered + std::max(0.0, pause_ms - covered_to);
}

Lines render_timeline(const agent::TimelineEvent& timeline, double pause_ms, size_t width, bool unicode) {
  Lines lines;
  if (timeline.steps.empty() || pause_ms <= 0) return lines;
  const std::multimap<double, TimelineStep> steps = in_order(timeline);
  size_t name_columns = name_columns_min;
  for (const auto& [_, step] : steps) name_columns = std::max(name_columns, columns_of(step.name));
  name_columns = std::min({name_columns, name_columns_max, width / 3});
  const size_t bar_at = 2 + name_columns + ms_columns + 2;
  const size_t cells = width > bar_at + 9 ? width - bar_at - 1 : 8;
  const std::string end = fmt::format("{:.1f}", pause_ms);
  Line heading;
  heading.add("  ").left("The pause", name_columns, Tone::strong).right("ms", ms_columns, Tone::faint);
  heading.add("  0", Tone::faint).right(end, cells - 1, Tone::faint);
  lines.push_back(heading);

  for (const auto& [start_ms, step] : steps) {
    Line line;
    line.add("  ").left(step.name, name_columns);
    line.right(fmt::format("{:.1f}", step.duration_ms), ms_columns).add("  ");
    if (start_ms >= pause_ms) {
      line.add("after it", Tone::faint);
    } else if (start_ms + step.duration_ms <= 0 && start_ms < 0) {
      line.add("before it", Tone::faint);
    } else {
      line.add(bar(start_ms / pause_ms, (start_ms + step.duration_ms) / pause_ms, cells, signs(unicode)));
    }
    lines.push_back(line);
  }
  const double missing_ms = uncovered_ms(timeline, pause_ms);
  if (missing_ms > std::max(0.5, pause_ms / 20)) {
    Line line;
    line.add("  ").left("(in no step)", name_columns, Tone::faint);
    line.right(fmt::format("{:.1f}", missing_ms), ms_columns, Tone::faint);
    lines.push_back(line);
  }
  return lines;
}

}  // namespace godwit::cli
