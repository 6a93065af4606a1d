// What the demo's clients saw in a stretch of time, and the messages between the demo and its load program, which runs
// where the clients are (another network namespace): JSON objects, one a line.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::cli {

// The wait of a request is the time from the moment at which it was due to be sent until its reply was complete (due:
// when the client's pace called for it, or when the reply before came, whichever is later). A request still unanswered
// when the window ends counts with its wait so far.
struct WindowReport {
  double seconds = 0;
  uint64_t requests = 0;         // answered in the window
  uint64_t lost = 0;             // not answered within the bound, or their connection broke
  uint64_t reordered = 0;        // answered with something else than what must come now
  uint64_t resets = 0;           // connections that were reset or closed
  double client_gap_ms_max = 0;  // the longest wait of any client
  double client_gap_ms_p99 = 0;  // over the clients, of the longest wait of each: nearest rank
  double wait_ms_p50 = 0;        // over all requests
  double wait_ms_p99 = 0;
  std::string first_problem;  // of lost, reordered and resets, in words
};
nlohmann::json to_json(const WindowReport& report);
Result<WindowReport> window_report_from(const nlohmann::json& object);

struct PopulateReport {
  uint64_t keys = 0;
  uint64_t used_memory_bytes = 0;  // as redis counts
};
nlohmann::json to_json(const PopulateReport& report);
Result<PopulateReport> populate_report_from(const nlohmann::json& object);

// The end check: everything that must be in redis, read and compared.
struct VerifyReport {
  uint64_t keys_expected = 0;
  uint64_t keys_counted = 0;  // DBSIZE
  uint64_t keys_read = 0;
  uint64_t keys_wrong = 0;
  bool same_process = false;  // redis's run_id is the one of the beginning
  std::string first_problem;
};
nlohmann::json to_json(const VerifyReport& report);
Result<VerifyReport> verify_report_from(const nlohmann::json& object);

// `values` need not be sorted; nearest rank: the smallest value that at least `percent` of them do not exceed.
double percentile(std::vector<double> values, double percent);

}  // namespace godwit::cli
