// What the demo found: its moves and its checks, as a table, a verdict and JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "agent/events.h"
#include "cli/load_report.h"
#include "cli/screen.h"

namespace godwit::cli {

struct Move {
  agent::ResultEvent result;
  WindowReport clients;  // in the move's window
};

// Something that had to be so. `found` says what was the case instead; empty if it held.
struct Check {
  std::string expected;  // "move 1: node-1 has nothing of redis left"
  std::string found;
  [[nodiscard]] bool held() const { return found.empty(); }
};

struct DemoReport {
  std::vector<Move> moves;
  std::vector<Check> checks;
  WindowReport clients;  // of the whole demo
  std::optional<VerifyReport> data;

  void expect(std::string expected, std::string found) { checks.push_back({std::move(expected), std::move(found)}); }
  [[nodiscard]] bool all_held() const;
};

// Adds what must hold of a finished move, as far as its result and its clients tell.
void check_move(DemoReport& report, const std::string& name, const Move& move);
// Adds what must hold at the end: the clients' whole time, and redis's data.
void check_end(DemoReport& report);

Lines moves_table(const DemoReport& report, const Look& look);
// All held, or each check that did not.
Lines demo_verdict(const DemoReport& report, const Look& look);
// {"moves": [{from, to, pause_ms, client_gap_ms_max, client_gap_ms_p99, requests, lost, reordered, resets,
// memory_bytes, bytes_on_wire, rounds, frozen_during_precopy_ms, rolled_back}], "ok", "checks", "clients", "data"}
nlohmann::ordered_json demo_json(const DemoReport& report);

}  // namespace godwit::cli
