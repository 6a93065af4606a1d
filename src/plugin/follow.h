// Following one Migration to its end: its states and events to the view, Ctrl-C to its deletion.
#pragma once

#include <optional>

#include <nlohmann/json.hpp>

#include "base/deadline.h"
#include "cli/interrupts.h"
#include "cli/screen.h"
#include "kube/client.h"
#include "plugin/progress_view.h"

namespace godwit::plugin {

struct FollowOptions {
  std::optional<milliseconds> timeout;  // then it is cancelled
  // An API server that does not answer for so long: the outcome counts as not known.
  milliseconds silence_max{120'000};
  // A Migration that nobody takes up for so long is worth a word.
  milliseconds waiting_max{10'000};
};

// `migration`: as it was created. Shows it on `screen`, verdict included. An interrupt deletes it, which cancels it,
// and goes on waiting for what came of that; a second one stops waiting.
Outcome follow(kube::Client& client, const nlohmann::json& migration, const FollowOptions& options,
               cli::Interrupts& interrupts, cli::Screen& screen);

}  // namespace godwit::plugin
