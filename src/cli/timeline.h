// What a pause consisted of, as bars on one scale: the steps of both nodes, which may overlap.
#pragma once

#include "agent/events.h"
#include "cli/text.h"

namespace godwit::cli {

// A heading, one line a step in the order they began, and, if it is worth mentioning, how much of the pause no step
// accounts for. The scale is the pause; parts of a step outside it are not drawn. Nothing without a pause or steps.
Lines render_timeline(const agent::TimelineEvent& timeline, double pause_ms, size_t width, bool unicode);

// Milliseconds of [0, pause_ms] that no step covers.
double uncovered_ms(const agent::TimelineEvent& timeline, double pause_ms);

}  // namespace godwit::cli
