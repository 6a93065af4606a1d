#include "cli/demo_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::cli {
namespace {

using ::testing::HasSubstr;

constexpr Look plain{.live = false, .colour = false, .unicode = false, .width = 80};

Move good_move(const std::string& from, const std::string& to) {
  Move move;
  move.result = {.ok = true,
                 .from = from,
                 .to = to,
                 .pause_ms = 38.1,
                 .memory_bytes = 1073741824,
                 .bytes_on_wire = 452000000,
                 .rounds = 3,
                 .frozen_during_precopy_ms = 0.5};
  move.clients = {.seconds = 4, .requests = 98765, .client_gap_ms_max = 41.2, .client_gap_ms_p99 = 41.1};
  return move;
}

DemoReport good_report() {
  DemoReport report;
  for (const Move& move : {good_move("node-1", "node-2"), good_move("node-2", "node-1")}) {
    report.moves.push_back(move);
    check_move(report, "move", move);
  }
  report.clients.requests = 234567;
  report.data = VerifyReport{.keys_expected = 10, .keys_counted = 10, .keys_read = 12, .same_process = true};
  check_end(report);
  return report;
}

std::string text_of(const Lines& lines) {
  std::string text;
  for (const Line& line : lines) text += line.render(false) + "\n";
  return text;
}

TEST(DemoReport, TableFits80Columns) {
  EXPECT_EQ(text_of(moves_table(good_report(), plain)),
            "  move  from    to        pause  client wait  requests  errors  rounds  on wire\n"
            "     1  node-1  node-2  38.1 ms      41.2 ms    98 765       0       3  431 MiB\n"
            "     2  node-2  node-1  38.1 ms      41.2 ms    98 765       0       3  431 MiB\n");
  Look narrow = plain;
  narrow.width = 60;
  for (const Line& line : moves_table(good_report(), narrow)) EXPECT_LE(line.width(), 60U);
}

TEST(DemoReport, AllHeld) {
  const DemoReport report = good_report();
  EXPECT_TRUE(report.all_held());
  EXPECT_THAT(text_of(demo_verdict(report, plain)), HasSubstr("redis moved 2 times, 234 567 requests were answered"));
}

TEST(DemoReport, EachFaultFailsItsCheck) {
  const auto failures = [](auto spoil) {
    Move move = good_move("node-1", "node-2");
    DemoReport report = good_report();
    spoil(move, report);
    report.checks.clear();
    check_move(report, "move 1", move);
    check_end(report);
    std::string found;
    for (const Check& check : report.checks) found += check.held() ? "" : check.expected + "|" + check.found + "\n";
    EXPECT_EQ(report.all_held(), found.empty());
    EXPECT_EQ(demo_json(report)["ok"], found.empty());
    return found;
  };
  EXPECT_EQ(failures([](Move&, DemoReport&) {}), "");
  EXPECT_THAT(failures([](Move& m, DemoReport&) { m.clients.lost = 1; }), HasSubstr("1 lost, 0 reordered"));
  EXPECT_THAT(failures([](Move& m, DemoReport&) { m.clients.reordered = 1; }), HasSubstr("1 reordered"));
  EXPECT_THAT(failures([](Move& m, DemoReport&) { m.clients.resets = 1; }), HasSubstr("1 reset"));
  EXPECT_THAT(failures([](Move& m, DemoReport&) { m.clients.requests = 0; }), HasSubstr("no reply at all"));
  EXPECT_THAT(failures([](Move& m, DemoReport&) { m.result = {.rolled_back = true, .reason = "why"}; }),
              HasSubstr("move 1: redis moves|not moved: why"));
  EXPECT_THAT(failures([](Move& m, DemoReport&) { m.result = {.unknown = true, .reason = "why"}; }),
              HasSubstr("outcome unknown: why"));
  EXPECT_THAT(failures([](Move&, DemoReport& r) { r.clients.resets = 2; }), HasSubstr("whole demo"));
  EXPECT_THAT(failures([](Move&, DemoReport& r) { r.data->keys_wrong = 3; }), HasSubstr("3 of 12 keys are wrong"));
  EXPECT_THAT(failures([](Move&, DemoReport& r) { r.data->keys_counted = 9; }), HasSubstr("DBSIZE is 9"));
  EXPECT_THAT(failures([](Move&, DemoReport& r) { r.data->same_process = false; }), HasSubstr("redis was restarted"));
}

TEST(DemoReport, VerdictSaysWhatWasExpectedAndFound) {
  DemoReport report = good_report();
  report.expect("move 1: node-1 has no copy of redis any more", "process 23 (redis-server)");
  EXPECT_EQ(text_of(demo_verdict(report, plain)),
            "x 1 of 10 checks failed:\n"
            "  expected  move 1: node-1 has no copy of redis any more\n"
            "  found     process 23 (redis-server)\n");
}

TEST(DemoReport, JsonHasEveryMemberOfAMove) {
  const nlohmann::ordered_json json = demo_json(good_report());
  ASSERT_EQ(json["moves"].size(), 2U);
  const auto& move = json["moves"][0];
  for (const char* name :
       {"from", "to", "pause_ms", "client_gap_ms_max", "client_gap_ms_p99", "requests", "lost", "reordered", "resets",
        "memory_bytes", "bytes_on_wire", "rounds", "frozen_during_precopy_ms", "rolled_back"}) {
    EXPECT_TRUE(move.contains(name)) << name;
  }
  EXPECT_EQ(move["pause_ms"], 38.1);
  EXPECT_EQ(move["client_gap_ms_max"], 41.2);
  EXPECT_EQ(move["rolled_back"], false);
}

}  // namespace
}  // namespace godwit::cli
