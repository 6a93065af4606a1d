#include "cli/migration_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/timeline.h"

namespace godwit::cli {
namespace {

using agent::Phase;
using ::testing::HasSubstr;

struct Timed {
  double now_ms;
  agent::Event event;
};

// The events of one migration of 1 GiB as an agent sends them.
std::vector<Timed> recorded_start() {
  return {
      {1, agent::SessionEvent{"5f2c91aa", "redis", "node-1", "node-2"}},
      {2, agent::PhaseEvent{Phase::prepare, 0}},
      {122, agent::PhaseEvent{Phase::pre_copy, 120}},
      {700, agent::RoundEvent{1, 262144, 1073741824, 431000000, 0.52, 2064888123, 1040}},
      {800, agent::RoundEvent{2, 8812, 36093952, 21000000, 0.03, 1203131733, 71}},
      {810, agent::NoteEvent{"does not converge: 40 MiB/s are written and 35 MiB/s can be sent; the rest is fetched "
                             "after the container runs on node-2"}},
  };
}

std::vector<Timed> recorded_end() {
  return {
      {1900, agent::PhaseEvent{Phase::freeze, 1898}},
      {1920, agent::PhaseEvent{Phase::restore, 1918}},
      {1937, agent::PhaseEvent{Phase::complete, 1936.1}},
      {1938, agent::TimelineEvent{{{"freeze tasks", 0, 3.1},
                                   {"move address", 3.1, 2.2},
                                   {"dump state", 3.4, 14.1},
                                   {"send last pages", 4, 6.0},
                                   {"restore", 18, 16.1},
                                   {"release packets", 34.4, 1.2},
                                   {"free source memory", 38.5, 250}}}},
      {1939, agent::ResultEvent{.ok = true,
                                .session = "5f2c91aa",
                                .container = "redis",
                                .from = "node-1",
                                .to = "node-2",
                                .pause_ms = 38.1,
                                .memory_bytes = 1073741824,
                                .bytes_on_wire = 452000000,
                                .rounds = 2}},
  };
}

std::string text_of(const Lines& lines, bool colour = false) {
  std::string text;
  for (const Line& line : lines) text += line.render(colour) + "\n";
  return text;
}

std::string play(MigrationView& view, const std::vector<Timed>& events, const Look& look) {
  std::string text;
  for (const Timed& one : events) {
    view.on_event(one.event, one.now_ms, look);
    text += text_of(view.take_finished());
  }
  return text;
}

constexpr Look plain_80{.live = false, .colour = false, .unicode = false, .width = 80};
constexpr Look terminal_80{.live = true, .colour = false, .unicode = true, .width = 80};

TEST(MigrationView, PlainLinesAt80Columns) {
  MigrationView view("redis");
  const std::string text = play(view, recorded_start(), plain_80) + play(view, recorded_end(), plain_80);
  EXPECT_EQ(text, R"(Moving redis from node-1 to node-2                             session 5f2c91aa
      0.0 ms  prepare
      120 ms  pre-copy
  round  dirty pages     memory    on wire         rate  pause if now
      1      262 144   1.00 GiB    411 MiB   1.92 GiB/s        1.04 s
      2        8 812   34.4 MiB   20.0 MiB   1.12 GiB/s       71.0 ms
  note: does not converge: 40 MiB/s are written and 35 MiB/s can be sent; the
  rest is fetched after the container runs on node-2
      1.90 s  freeze
      1.92 s  restore
      1.94 s  complete

  The pause                ms  0                                           38.1
  freeze tasks            3.1  ####
  move address            2.2      ###
  dump state             14.1      ##################
  send last pages         6.0       ########
  restore                16.1                        #####################
  release packets         1.2                                             ##
  free source memory    250.0  after it
  (in no step)            3.3

+ redis runs on node-2, after a pause of 38.1 ms
  1.00 GiB of memory, 431 MiB on the wire, 2 rounds; 1.94 s in all
)");
  EXPECT_TRUE(view.live(2000, plain_80).empty());
}

TEST(MigrationView, TerminalAt80Columns) {
  MigrationView view("redis");
  std::string text = play(view, recorded_start(), terminal_80);
  view.on_event(agent::ProgressEvent{3, 1100000, 2200000}, 820, terminal_80);
  text += "--live--\n" + text_of(view.live(850, terminal_80)) + "--------\n";
  text += play(view, recorded_end(), terminal_80);
  EXPECT_EQ(text, R"(Moving redis from node-1 to node-2                             session 5f2c91aa
  round  dirty pages     memory    on wire         rate  pause if now
      1      262 144   1.00 GiB    411 MiB   1.92 GiB/s        1.04 s
      2        8 812   34.4 MiB   20.0 MiB   1.12 GiB/s       71.0 ms
  note: does not converge: 40 MiB/s are written and 35 MiB/s can be sent; the
  rest is fetched after the container runs on node-2
--live--
  ✓ prepare 120 ms  ▸ pre-copy 728 ms    freeze    restore
  round 3 ████████████████████░░░░░░░░░░░░░░░░░░░░░  50 %  1.05 MiB of 2.10 MiB
--------
  ✓ prepare 120 ms  ✓ pre-copy 1.78 s  ✓ freeze 20.0 ms  ✓ restore 18.1 ms

  The pause                ms  0                                           38.1
  freeze tasks            3.1  ████
  move address            2.2      ██▌
  dump state             14.1      ▐█████████████████
  send last pages         6.0       ███████▌
  restore                16.1                        ▐████████████████████
  release packets         1.2                                             ▐█
  free source memory    250.0  after it
  (in no step)            3.3

✓ redis runs on node-2, after a pause of 38.1 ms
  1.00 GiB of memory, 431 MiB on the wire, 2 rounds; 1.94 s in all
)");
  EXPECT_TRUE(view.live(2000, terminal_80).empty()) << "nothing is live after the verdict";
}

TEST(MigrationView, EveryLineFitsFrom60To200Columns) {
  for (const size_t width : {60, 61, 71, 72, 79, 80, 100, 200}) {
    for (const bool live : {false, true}) {
      const Look look{.live = live, .colour = false, .unicode = true, .width = width};
      MigrationView view("redis");
      std::string text = play(view, recorded_start(), look);
      view.on_event(agent::ProgressEvent{3, 1100000000, 2200000000}, 820, look);
      text += text_of(view.live(850, look)) + play(view, recorded_end(), look);
      for (size_t start = 0; start < text.size();) {
        const size_t end = text.find('\n', start);
        EXPECT_LE(columns_of(text.substr(start, end - start)), width) << text.substr(start, end - start);
        start = end + 1;
      }
    }
  }
}

TEST(MigrationView, ColourOnlyWhenAsked) {
  MigrationView view("redis");
  Look look = terminal_80;
  look.colour = true;
  view.on_event(recorded_end().back().event, 10, look);
  const Lines lines = view.take_finished();
  EXPECT_THAT(text_of(lines, true), HasSubstr("\x1b[32m"));
  EXPECT_EQ(text_of(lines, false).find('\x1b'), std::string::npos);
}

std::string verdict_of(const agent::ResultEvent& result) {
  MigrationView view("redis");
  play(view, recorded_start(), plain_80);
  view.on_event(result, 900, plain_80);
  return text_of(view.take_finished());
}

TEST(MigrationView, FailureSaysWhyAndWhereItRuns) {
  EXPECT_EQ(verdict_of({.session = "5f2c91aa", .reason = "node-2 does not answer: connection refused"}),
            "x redis was not moved: node-2 does not answer: connection refused\n"
            "  It was never frozen and stays on node-1.\n");
  EXPECT_EQ(verdict_of({.session = "5f2c91aa", .pause_ms = 12, .rolled_back = true, .reason = "restore failed"}),
            "x redis was not moved: restore failed\n"
            "  It was frozen for 12.0 ms and goes on where it was, on node-1.\n");
  EXPECT_EQ(verdict_of({.session = "5f2c91aa", .lost = true, .reason = "node-2 was restarted"}),
            "x redis is lost: node-2 was restarted\n"
            "  It runs on neither node.\n");
  EXPECT_EQ(verdict_of({.unknown = true, .session = "5f2c91aa", .reason = "node-2 died"}),
            "? Whether redis moved is not known: node-2 died\n"
            "  At most one of the two nodes runs it. Ask both: `godwit ps` on node-1 and on\n"
            "  node-2.\n");
}

TEST(MigrationView, ControlCharactersOfOthersDoNotReachTheTerminal) {
  MigrationView view("redis");
  view.on_event(agent::NoteEvent{"evil \x1b[2J\r text"}, 1, terminal_80);
  EXPECT_EQ(text_of(view.take_finished()), "  note: evil  [2J  text\n");
}

TEST(Timeline, CountsWhatNoStepCovers) {
  EXPECT_DOUBLE_EQ(uncovered_ms({{{"a", 0, 10}, {"b", 5, 10}}}, 20), 5);
  EXPECT_DOUBLE_EQ(uncovered_ms({{{"a", 2, 3}, {"b", 10, 100}}}, 20), 7);
  EXPECT_DOUBLE_EQ(uncovered_ms({{{"before", -9, 10}, {"after", 30, 5}}}, 20), 19);
  EXPECT_DOUBLE_EQ(uncovered_ms({}, 20), 20);
}

TEST(Timeline, MentionsTheUncoveredPartOnlyIfItMatters) {
  EXPECT_THAT(text_of(render_timeline({{{"a", 0, 15}}}, 20, 80, false)), HasSubstr("(in no step)"));
  EXPECT_THAT(text_of(render_timeline({{{"a", 0, 19.5}}}, 20, 80, false)), ::testing::Not(HasSubstr("(in no step)")));
}

TEST(Timeline, NothingWithoutAPause) {
  EXPECT_TRUE(render_timeline({{{"a", 0, 15}}}, 0, 80, false).empty());
  EXPECT_TRUE(render_timeline({}, 10, 80, false).empty());
}

}  // namespace
}  // namespace godwit::cli
