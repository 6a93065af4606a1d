#include "cli/demo_report.h"

#include <algorithm>

#include "cli/migration_record.h"
#include "cli/table.h"
#include "cli/units.h"

namespace godwit::cli {
namespace {

using nlohmann::ordered_json;

uint64_t errors_of(const WindowReport& clients) {
  return clients.lost + clients.reordered + clients.resets;
}

// "3 lost, 0 reordered, 1 reset (client 2: ...)", empty if there is nothing to complain of.
std::string complaint(const WindowReport& clients) {
  if (errors_of(clients) == 0) return {};
  return fmt::format("{} lost, {} reordered, {} reset; first: {}", clients.lost, clients.reordered, clients.resets,
                     clients.first_problem);
}

std::string data_complaint(const VerifyReport& data) {
  if (data.keys_wrong > 0) {
    return fmt::format("{} of {} keys are wrong; first: {}", data.keys_wrong, data.keys_read, data.first_problem);
  }
  if (data.keys_counted != data.keys_expected) return fmt::format("DBSIZE is {}", data.keys_counted);
  return {};
}

}  // namespace

bool DemoReport::all_held() const {
  return std::ranges::all_of(checks, [](const Check& check) { return check.held(); });
}

void check_move(DemoReport& report, const std::string& name, const Move& move) {
  std::string outcome;
  if (!move.result.ok) outcome = (move.result.unknown ? "outcome unknown: " : "not moved: ") + move.result.reason;
  report.expect(name + ": redis moves", outcome);
  report.expect(name + ": no request lost, no reply reordered, no connection reset", complaint(move.clients));
  report.expect(name + ": the clients are answered", move.clients.requests > 0 ? "" : "no reply at all");
}

void check_end(DemoReport& report) {
  report.expect("whole demo: no request lost, no reply reordered, no connection reset", complaint(report.clients));
  if (!report.data) return;
  report.expect(fmt::format("redis holds the {} keys that were written, each with its last value",
                            format_count(report.data->keys_expected)),
                data_complaint(*report.data));
  report.expect("it is the redis process of the beginning",
                report.data->same_process ? "" : "its run_id is another: redis was restarted");
}

Lines moves_table(const DemoReport& report, const Look& look) {
  const bool wide = look.width >= 78;
  std::vector<Column> columns{{"move", Align::right}, {"from"}, {"to"}, {"pause", Align::right}};
  columns.push_back({wide ? "client wait" : "wait", Align::right});
  if (wide) columns.push_back({"requests", Align::right});
  columns.push_back({"errors", Align::right});
  if (wide) columns.push_back({"rounds", Align::right});
  columns.push_back({"on wire", Align::right});
  std::vector<std::vector<std::string>> rows;
  for (const Move& move : report.moves) {
    std::vector<std::string> row{std::to_string(rows.size() + 1), move.result.from, move.result.to,
                                 format_ms(move.result.pause_ms), format_ms(move.clients.client_gap_ms_max)};
    if (wide) row.push_back(format_count(move.clients.requests));
    row.push_back(std::to_string(errors_of(move.clients)));
    if (wide) row.push_back(std::to_string(move.result.rounds));
    row.push_back(format_bytes(move.result.bytes_on_wire));
    rows.push_back(std::move(row));
  }
  return render_table(columns, rows, 2);
}

Lines demo_verdict(const DemoReport& report, const Look& look) {
  const Signs& sign = signs(look.unicode);
  Lines lines;
  const auto say = [&](const std::string& text, Tone tone, size_t indent) {
    for (Line& line : wrap(text, look.width - 1, indent, tone)) lines.push_back(std::move(line));
  };
  if (report.all_held()) {
    say(fmt::format("{} All {} checks held: redis moved {} {}, {} requests were answered rightly, and no client lost "
                    "its connection.",
                    sign.done, report.checks.size(), report.moves.size(), report.moves.size() == 1 ? "time" : "times",
                    format_count(report.clients.requests)),
        Tone::good, 2);
    return lines;
  }
  const auto failed = std::ranges::count_if(report.checks, [](const Check& check) { return !check.held(); });
  say(fmt::format("{} {} of {} checks failed:", sign.failed, failed, report.checks.size()), Tone::bad, 2);
  for (const Check& check : report.checks) {
    if (check.held()) continue;
    say("  expected  " + check.expected, Tone::plain, 12);
    say("  found     " + check.found, Tone::bad, 12);
  }
  return lines;
}

ordered_json demo_json(const DemoReport& report) {
  ordered_json object;
  object["moves"] = ordered_json::array();
  for (const Move& move : report.moves) {
    ordered_json one = move_json(move.result);
    for (const auto& [name, value] : to_json(move.clients).items()) one[name] = value;
    object["moves"].push_back(std::move(one));
  }
  object["ok"] = report.all_held();
  object["checks"] = ordered_json::array();
  for (const Check& check : report.checks) {
    object["checks"].push_back({{"expected", check.expected}, {"held", check.held()}, {"found", check.found}});
  }
  object["clients"] = to_json(report.clients);
  if (report.data) object["data"] = to_json(*report.data);
  return object;
}

}  // namespace godwit::cli
