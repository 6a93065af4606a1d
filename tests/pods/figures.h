// Pauses and waits of several moves, as their Migrations' statuses tell them.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench/common/report.h"

namespace godwit {

// In ms.
struct MoveFigures {
  std::vector<double> pauses;
  std::vector<double> client_gaps;  // of moves in which a client waited

  void add(const nlohmann::json& status) {
    pauses.push_back(status.value("pauseMs", 0.0));
    if (status.contains("clientGapMs")) client_gaps.push_back(status["clientGapMs"].get<double>());
  }
  // Medians. There has been a move; 0: no client waited in any.
  [[nodiscard]] double pause() const { return bench::median(pauses); }
  [[nodiscard]] double client_gap() const { return client_gaps.empty() ? 0 : bench::median(client_gaps); }
  void print(const std::string& what) const {
    if (pauses.empty()) return;
    const auto [least, most] = std::ranges::minmax(pauses);
    fmt::print("{}: {} moves, pause {:.1f} ms ({:.1f} to {:.1f}), clients waited {:.1f} ms in {} of them\n", what,
               pauses.size(), pause(), least, most, client_gap(), client_gaps.size());
  }
};

}  // namespace godwit
