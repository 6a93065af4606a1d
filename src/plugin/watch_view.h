// Migrations as they happen, a line for each thing that happened. Pure: changes in, lines out.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "cli/screen.h"
#include "cli/text.h"

namespace godwit::plugin {

// Used by one thread.
class WatchView {
 public:
  explicit WatchView(bool all_namespaces) : all_namespaces_(all_namespaces) {}

  // One of both may be null: appeared, disappeared. `now`: the time of day to show.
  cli::Lines on_change(const nlohmann::json& before, const nlohmann::json& after, const std::string& now,
                       const cli::Look& look) const;
  // `time`: when it happened. Nothing for an event that is about no Migration.
  cli::Lines on_event(const nlohmann::json& event, const std::string& time, const cli::Look& look) const;

 private:
  [[nodiscard]] cli::Lines line(const std::string& time, const std::string& name, const std::string& text,
                                cli::Tone tone, const cli::Look& look) const;

  bool all_namespaces_;
};

}  // namespace godwit::plugin
