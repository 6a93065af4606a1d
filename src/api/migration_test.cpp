#include "api/migration.h"

#include <gtest/gtest.h>

#include "api/conditions.h"
#include "api/merge_patch.h"

namespace godwit::api {
namespace {

using nlohmann::json;

json migration(const json& options = json::object()) {
  return {{"spec", {{"podName", "p"}, {"options", options}}}};
}

TEST(MigrationSpec, WhatIsLeftOutHasTheDefaults) {
  const auto spec = read_spec({{"spec", {{"podName", "p"}}}});
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->options, MigrationOptions{});
  EXPECT_EQ(spec->destination, "");
}

TEST(MigrationSpec, EveryFieldIsRead) {
  json object = migration({{"iterations", 5},
                           {"dirtyPagesThreshold", 100},
                           {"requestedFreezeTime", "1s200ms"},
                           {"optimizeFor", "DumpTime"},
                           {"withTcp", false},
                           {"networkMode", "Reconnect"}});
  object["spec"]["destination"] = "node-2";
  const auto spec = read_spec(object);
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->destination, "node-2");
  EXPECT_EQ(spec->options, (MigrationOptions{.iterations = 5,
                                             .dirty_pages_threshold = 100,
                                             .requested_freeze_ms = 1200,
                                             .optimize_for = OptimizeFor::dump_time,
                                             .with_tcp = false,
                                             .network_mode = NetworkMode::reconnect}));
}

TEST(MigrationSpec, NonsenseIsRefusedWithItsField) {
  const auto refusal = [](const json& options) {
    const auto spec = read_spec(migration(options));
    return spec ? "accepted" : spec.error().message;
  };
  EXPECT_EQ(refusal({{"iterations", 0}}), "spec.options.iterations is not from 1 to 1000");
  EXPECT_EQ(refusal({{"iterations", "many"}}), "spec.options.iterations is not from 1 to 1000");
  EXPECT_EQ(refusal({{"dirtyPagesThreshold", -1}}), "spec.options.dirtyPagesThreshold is negative");
  EXPECT_EQ(refusal({{"networkMode", "Bridge"}}), "spec.options/networkMode: \"Bridge\" is none of its values");
  EXPECT_TRUE(refusal({{"requestedFreezeTime", "soon"}}).contains("is no time such as 150ms"));
  EXPECT_EQ(read_spec({{"spec", json::object()}}).error().message, "spec.podName is missing");
  EXPECT_EQ(read_spec(json::object()).error().message, "spec is missing");
}

TEST(FreezeTime, IsReadInMillisecondsAndSeconds) {
  EXPECT_EQ(parse_freeze_time("150ms").value(), 150);
  EXPECT_EQ(parse_freeze_time("1.5s").value(), 1500);
  EXPECT_EQ(parse_freeze_time("2s5ms").value(), 2005);
  for (const char* text : {"", "5", "ms", "-5ms", "5m", "1e3ms", "0ms", "5 ms", "inf s", "nans"}) {
    EXPECT_FALSE(parse_freeze_time(text).has_value()) << text;
  }
}

MigrationStatus full_status() {
  return {.observed_generation = 3,
          .state = MigrationState::running,
          .phase = MigrationPhase::pre_dump,
          .reason = "Copying",
          .message = "round 2",
          .source_node = "node-1",
          .destination_node = "node-2",
          .pod_uid = "uid",
          .clone_name = "p-clone-1",
          .network_mode = NetworkMode::preserve,
          .rounds = {{1, 100, 409600, 0.5}, {2, 10, 40960, 0.1}},
          .pause_ms = 41.5,
          .client_gap_ms = 55,
          .start_time = "2024-05-01T12:00:00Z",
          .checkpoint_time = "2024-05-01T12:00:01Z",
          .resume_time = "2024-05-01T12:00:02Z",
          .completion_time = "2024-05-01T12:00:03Z"};
}

TEST(MigrationStatus, WhatIsWrittenIsReadBack) {
  json object = migration();
  write_status(object, full_status());
  const MigrationStatus read = read_status(object);
  json again = migration();
  write_status(again, read);
  EXPECT_EQ(again, object);
  EXPECT_EQ(read.rounds.size(), 2U);
  EXPECT_EQ(read.rounds[1].pages, 10);
  EXPECT_EQ(read.pause_ms, 41.5);
  EXPECT_EQ(object["status"]["phase"], "Pre-dump");
  EXPECT_EQ(object["status"]["iterationsDone"], 2);
}

TEST(MigrationStatus, WhatIsEmptyIsAbsent) {
  json object = migration();
  write_status(object, full_status());
  write_status(object, MigrationStatus{});
  EXPECT_EQ(object["status"], (json{{"state", "Pending"}, {"iterationsDone", 0}}));
  EXPECT_EQ(read_status(json::object()).state, MigrationState::pending);
}

TEST(MigrationStatus, FieldsOfOthersAreKept) {
  json object = json::parse(R"({"spec":{"podName":"p"},"status":{"state":"Running","newField":{"a":1},
      "rounds":[{"number":1,"pages":1,"bytes":1,"seconds":1,"checksum":"x"}],
      "conditions":[{"type":"Other","status":"True","note":"kept"}]}})");
  write_status(object, full_status());
  EXPECT_EQ(object["status"]["newField"], (json{{"a", 1}}));
  EXPECT_EQ(object["status"]["rounds"][0]["checksum"], "x");
  EXPECT_EQ(object["status"]["rounds"][0]["pages"], 100);
  EXPECT_EQ(object["status"]["conditions"][0]["note"], "kept");
}

TEST(MergePatch, IsWhatMakesTheOneIntoTheOther) {
  const json before = json::parse(R"({"a":1,"same":{"x":1},"deep":{"keep":1,"change":1,"go":1},"list":[1,2]})");
  const json after = json::parse(R"({"a":2,"same":{"x":1},"deep":{"keep":1,"change":2,"come":1},"list":[1]})");
  const json patch = merge_patch_between(before, after);
  EXPECT_EQ(patch, json::parse(R"({"a":2,"deep":{"change":2,"come":1,"go":null},"list":[1]})"));
  json patched = before;
  patched.merge_patch(patch);
  EXPECT_EQ(patched, after);
  EXPECT_TRUE(merge_patch_between(after, after).empty());
}

TEST(MergePatch, AnObjectInPlaceOfSomethingElseIsWhole) {
  json before = {{"a", {1, 2}}, {"b", {{"x", 1}}}};
  const json after = {{"a", {{"y", 1}}}, {"b", 3}};
  before.merge_patch(merge_patch_between(before, after));
  EXPECT_EQ(before, after);
}

TEST(Conditions, TheTransitionTimeChangesOnlyWithTheStatus) {
  const auto noon = kube::parse_timestamp("2024-05-01T12:00:00Z").value();
  json status = json::parse(R"({"conditions":[{"type":"Other","status":"True","note":"kept"}]})");
  set_condition(status, {.type = "Ready", .status = "False", .reason = "Waiting", .message = "m"}, noon);
  set_condition(status, {.type = "Ready", .status = "False", .reason = "Busy", .message = "n"},
                noon + std::chrono::hours(1));
  auto ready = find_condition(status, "Ready");
  ASSERT_TRUE(ready.has_value());
  EXPECT_EQ(ready->reason, "Busy");
  EXPECT_EQ(ready->last_transition, "2024-05-01T12:00:00Z");
  set_condition(status, {.type = "Ready", .status = "True", .reason = "Done", .message = ""},
                noon + std::chrono::hours(1));
  EXPECT_EQ(find_condition(status, "Ready")->last_transition, "2024-05-01T13:00:00Z");
  EXPECT_EQ(status["conditions"].size(), 2U);
  EXPECT_EQ(status["conditions"][0], json::parse(R"({"type":"Other","status":"True","note":"kept"})"));
  EXPECT_FALSE(find_condition(status, "Missing").has_value());
}

}  // namespace
}  // namespace godwit::api
