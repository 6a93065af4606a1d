#include "plugin/progress_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::plugin {
namespace {

using cli::Lines;
using cli::Look;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr Look plain{.live = false, .colour = false, .unicode = false, .width = 80};
constexpr Look terminal{.live = true, .colour = false, .unicode = true, .width = 80};

std::string text_of(const Lines& lines) {
  std::string text;
  for (const cli::Line& line : lines) text += line.render(false) + "\n";
  return text;
}

json migration(const char* status, const char* metadata = "{}") {
  json object = {{"metadata", {{"name", "web-1-x7k2p"}, {"namespace", "shop"}, {"uid", "u"}}},
                 {"spec", {{"podName", "web-1"}}},
                 {"status", json::parse(status)}};
  object["metadata"].merge_patch(json::parse(metadata));
  return object;
}

constexpr const char* one_round = R"({"state": "Running", "phase": "Pre-dump", "sourceNode": "node-1",
  "destinationNode": "node-2", "rounds": [{"number": 1, "pages": 68838, "bytes": 281960448, "seconds": 0.5}]})";
constexpr const char* restored = R"({"state": "Running", "phase": "Restore", "sourceNode": "node-1",
  "destinationNode": "node-2", "pauseMs": 65.8,
  "rounds": [{"number": 1, "pages": 68838, "bytes": 281960448, "seconds": 0.5},
             {"number": 2, "pages": 120, "bytes": 491520, "seconds": 0.004}]})";
constexpr const char* completed = R"({"state": "Completed", "phase": "Complete", "reason": "Migrated",
  "sourceNode": "node-1", "destinationNode": "node-2", "pauseMs": 65.8, "cloneName": "web-1-clone-1",
  "rounds": [{"number": 1, "pages": 68838, "bytes": 281960448, "seconds": 0.5},
             {"number": 2, "pages": 120, "bytes": 491520, "seconds": 0.004}]})";

TEST(ProgressView, PlainLinesToTheVerdict) {
  ProgressView view("web-1");
  view.on_migration(migration("{}"), 0, plain);
  EXPECT_TRUE(view.waiting());
  view.on_migration(migration(one_round), 800, plain);
  EXPECT_FALSE(view.waiting());
  EXPECT_TRUE(view.live(900, plain).empty());
  view.on_migration(migration(restored), 1300, plain);
  view.on_migration(migration(completed), 2500, plain);
  EXPECT_EQ(text_of(view.take_finished()), R"(Moving web-1 from node-1 to node-2
      800 ms  pre-dump
  round  dirty pages      memory       time          rate
      1       68 838     269 MiB     500 ms     538 MiB/s
      2          120     480 KiB     4.0 ms     117 MiB/s
      1.30 s  restore
+ web-1 runs on node-2 as web-1-clone-1, after a pause of 65.8 ms
  269 MiB of memory in 2 rounds; 2.50 s in all
)");
  EXPECT_EQ(view.outcome(), Outcome::completed);
}

TEST(ProgressView, ATerminalHasItsStepsInPlace) {
  ProgressView view("web-1");
  view.on_migration(migration("{}"), 0, terminal);
  EXPECT_EQ(text_of(view.live(300, terminal)),
            "  ▸ waiting 300 ms    pre-dump    checkpoint    restore\n  until the live controller takes it up\n");
  view.on_migration(migration(one_round), 800, terminal);
  EXPECT_EQ(text_of(view.live(1000, terminal)),
            "  ✓ waiting 800 ms  ▸ pre-dump 200 ms    checkpoint    restore\n  269 MiB copied in 1 round\n");
  EXPECT_THAT(text_of(view.take_finished()), Not(HasSubstr("pre-dump"))) << "it is in the live lines";
  view.on_migration(migration(restored), 1300, terminal);
  EXPECT_THAT(text_of(view.live(1400, terminal)),
              HasSubstr("✓ pre-dump 500 ms  ✓ checkpoint 65.8 ms  ▸ restore 100 ms"));
  view.on_migration(migration(completed), 2500, terminal);
  EXPECT_TRUE(view.live(2600, terminal).empty());
  EXPECT_THAT(text_of(view.take_finished()), AllOf(HasSubstr("✓ restore 1.20 s"), HasSubstr("✓ web-1 runs on node-2")));
}

TEST(ProgressView, ARefusalSaysWhereToLook) {
  ProgressView view("web-1");
  view.on_migration(migration(R"({"state": "Failed", "phase": "Failed", "reason": "NotEligible",
                                  "message": "its volume logs is a hostPath"})"),
                    400, plain);
  EXPECT_EQ(view.outcome(), Outcome::failed);
  EXPECT_EQ(text_of(view.take_finished()),
            "x web-1 was not moved: its volume logs is a hostPath\n"
            "  `kubectl godwit explain web-1 -n shop` says what to do.\n");
}

TEST(ProgressView, CancellingTellsWhatCameOfIt) {
  ProgressView stayed("web-1");
  stayed.on_migration(migration(one_round), 400, plain);
  stayed.cancelling();
  stayed.on_migration(migration(one_round, R"({"deletionTimestamp": "2024-05-01T12:00:00Z"})"), 500, plain);
  stayed.on_migration(
      migration(R"({"state": "Failed", "reason": "Cancelled", "message": "pod web-1 stays on node-1"})"), 900, plain);
  EXPECT_EQ(stayed.outcome(), Outcome::failed);
  EXPECT_THAT(text_of(stayed.take_finished()),
              AllOf(HasSubstr("x Cancelled: pod web-1 stays on node-1"), Not(HasSubstr("Somebody"))));

  ProgressView too_late("web-1");
  too_late.cancelling();
  too_late.on_migration(migration(completed), 900, plain);
  EXPECT_EQ(too_late.outcome(), Outcome::completed);
  EXPECT_THAT(text_of(too_late.take_finished()), HasSubstr("came too late"));

  ProgressView never_begun("web-1");
  never_begun.on_migration(migration("{}"), 0, plain);
  never_begun.cancelling();
  never_begun.on_vanished(plain);
  EXPECT_EQ(never_begun.outcome(), Outcome::failed);
  EXPECT_THAT(text_of(never_begun.take_finished()), HasSubstr("web-1 stays where it is"));
}

TEST(ProgressView, ADeletionBySomebodyElseIsSaid) {
  ProgressView view("web-1");
  view.on_migration(migration(one_round, R"({"deletionTimestamp": "2024-05-01T12:00:00Z"})"), 500, plain);
  EXPECT_THAT(text_of(view.take_finished()), HasSubstr("Somebody has deleted the Migration"));
}

TEST(ProgressView, WhatIsNotKnownIsNotClaimed) {
  ProgressView vanished("web-1");
  vanished.on_migration(migration(one_round), 500, plain);
  vanished.on_vanished(plain);
  EXPECT_EQ(vanished.outcome(), Outcome::unknown);

  ProgressView left("web-1");
  left.on_migration(migration(one_round), 500, plain);
  left.give_up("not waited for", plain);
  EXPECT_EQ(left.outcome(), Outcome::unknown);
  EXPECT_THAT(text_of(left.take_finished()), AllOf(HasSubstr("? Whether web-1 moved is not known: not waited for"),
                                                   HasSubstr("kubectl describe migration web-1-x7k2p -n shop")));
}

TEST(ProgressView, EventsThatTheStatusDoesNotTellAreNotes) {
  ProgressView view("web-1");
  view.on_event({{"reason", "PreDumpFinished"}, {"note", "iteration 1"}}, plain);
  view.on_event({{"reason", "PreDumpSkipped"}, {"note", "the tracker is busy"}, {"type", "Warning"}}, plain);
  EXPECT_EQ(text_of(view.take_finished()), "  PreDumpSkipped: the tracker is busy\n");
}

TEST(ProgressView, NamesCannotDriveTheTerminal) {
  ProgressView view("web\x1b[2J");
  view.on_migration(migration(R"({"state": "Failed", "reason": "X", "message": "a\u001b[31mb"})"), 1, terminal);
  EXPECT_THAT(text_of(view.take_finished()), Not(HasSubstr("\x1b")));
}

}  // namespace
}  // namespace godwit::plugin
