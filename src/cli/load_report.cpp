#include "cli/load_report.h"

#include <algorithm>
#include <cmath>

#include "agent/json_fields.h"

namespace godwit::cli {
namespace {

using agent::JsonFields;
using nlohmann::json;

constexpr size_t text_bytes_max = 4096;

template <typename T>
Result<T> checked(const JsonFields& fields, T report) {
  if (fields.error()) return std::unexpected(*fields.error());
  return report;
}

}  // namespace

json to_json(const WindowReport& report) {
  return {{"seconds", report.seconds},
          {"requests", report.requests},
          {"lost", report.lost},
          {"reordered", report.reordered},
          {"resets", report.resets},
          {"client_gap_ms_max", report.client_gap_ms_max},
          {"client_gap_ms_p99", report.client_gap_ms_p99},
          {"wait_ms_p50", report.wait_ms_p50},
          {"wait_ms_p99", report.wait_ms_p99},
          {"first_problem", report.first_problem}};
}

Result<WindowReport> window_report_from(const json& object) {
  JsonFields fields(object, "window report", text_bytes_max);
  WindowReport report{.seconds = fields.number("seconds"),
                      .requests = fields.count("requests"),
                      .lost = fields.count("lost"),
                      .reordered = fields.count("reordered"),
                      .resets = fields.count("resets"),
                      .client_gap_ms_max = fields.number("client_gap_ms_max"),
                      .client_gap_ms_p99 = fields.number("client_gap_ms_p99"),
                      .wait_ms_p50 = fields.number("wait_ms_p50"),
                      .wait_ms_p99 = fields.number("wait_ms_p99"),
                      .first_problem = fields.text("first_problem")};
  return checked(fields, std::move(report));
}

json to_json(const PopulateReport& report) {
  return {{"keys", report.keys}, {"used_memory_bytes", report.used_memory_bytes}};
}

Result<PopulateReport> populate_report_from(const json& object) {
  JsonFields fields(object, "populate report", text_bytes_max);
  PopulateReport report{fields.count("keys"), fields.count("used_memory_bytes")};
  return checked(fields, report);
}

json to_json(const VerifyReport& report) {
  return {{"keys_expected", report.keys_expected}, {"keys_counted", report.keys_counted},
          {"keys_read", report.keys_read},         {"keys_wrong", report.keys_wrong},
          {"same_process", report.same_process},   {"first_problem", report.first_problem}};
}

Result<VerifyReport> verify_report_from(const json& object) {
  JsonFields fields(object, "verify report", text_bytes_max);
  VerifyReport report{.keys_expected = fields.count("keys_expected"),
                      .keys_counted = fields.count("keys_counted"),
                      .keys_read = fields.count("keys_read"),
                      .keys_wrong = fields.count("keys_wrong"),
                      .same_process = fields.flag("same_process"),
                      .first_problem = fields.text("first_problem")};
  return checked(fields, std::move(report));
}

double percentile(std::vector<double> values, double percent) {
  if (values.empty()) return 0;
  const auto count = static_cast<double>(values.size());
  const auto rank = static_cast<size_t>(std::clamp(std::ceil(percent / 100 * count), 1.0, count));
  std::ranges::nth_element(values, values.begin() + static_cast<std::ptrdiff_t>(rank - 1));
  return values[rank - 1];
}

}  // namespace godwit::cli
