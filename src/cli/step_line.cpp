#include "cli/step_line.h"

#include <algorithm>

#include "cli/units.h"

namespace godwit::cli {
namespace {

Line render(const StepLine& what, const Look& look, bool all_times) {
  const Signs& sign = signs(look.unicode);
  Line line;
  for (size_t i = 0; i < what.steps.size(); ++i) {
    const Step& step = what.steps[i];
    const bool runs = what.running == i;
    Tone tone = Tone::faint;
    std::string_view mark = " ";
    if (runs && what.failed) {
      tone = Tone::bad;
      mark = sign.failed;
    } else if (step.took_ms) {
      tone = Tone::good;
      mark = sign.done;
    } else if (runs) {
      tone = Tone::strong;
      mark = sign.current;
    }
    line.add("  ").add(mark, tone).add(" ").add(what.names[i], tone);
    if (!step.began_ms || (!all_times && !runs)) continue;
    const double ms = step.took_ms.value_or(what.now_ms - *step.began_ms);
    line.add(" ").add(format_ms(std::max(0.0, ms)), Tone::faint);
  }
  return line;
}

}  // namespace

Line render_steps(const StepLine& what, const Look& look) {
  Line line = render(what, look, true);
  return line.width() >= look.width ? render(what, look, false) : line;
}

}  // namespace godwit::cli
