// One thing after another, as a line: "✓ prepare 12.0 ms  ▸ pre-copy 1.9 s    freeze    restore".
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "cli/screen.h"
#include "cli/text.h"

namespace godwit::cli {

struct Step {
  std::optional<double> began_ms;
  std::optional<double> took_ms;  // it has ended
};

struct StepLine {
  std::span<const std::string_view> names;
  std::span<const Step> steps;    // as many
  std::optional<size_t> running;  // index of the step that runs, or at which it failed
  bool failed = false;
  double now_ms = 0;  // by the clock of `began_ms`
};

// Without the times of ended steps where that is too wide.
Line render_steps(const StepLine& what, const Look& look);

}  // namespace godwit::cli
