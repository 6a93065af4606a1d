#include "kube/event_series.h"

#include <gtest/gtest.h>

#include "kube/json_path.h"

namespace godwit::kube {
namespace {

using nlohmann::json;
using std::chrono::seconds;

const Clock::time_point begin{seconds(1000)};
const WallTime noon = parse_timestamp("2024-05-01T12:00:00Z").value();

EventNote note_about(const std::string& name, const std::string& reason) {
  return {.regarding = {{"kind", "Pod"}, {"name", name}, {"namespace", "n"}, {"uid", "u"}, {"resourceVersion", "1"}},
          .reason = reason,
          .action = "Migrating",
          .note = "something happened"};
}

struct Fixture : testing::Test {
  EventSeries series{{"live.cast.ai/controller", "controller-0"}, {seconds(360), seconds(1800), 3}};
  std::vector<EventWrite> add(const EventNote& note, int at_s) {
    return series.add(note, begin + seconds(at_s), noon + seconds(at_s));
  }
};
using EventSeriesTest = Fixture;

TEST_F(EventSeriesTest, TheFirstEventIsCreatedWithoutSeries) {
  const auto writes = add(note_about("p", "Happened"), 0);
  ASSERT_EQ(writes.size(), 1U);
  EXPECT_TRUE(writes[0].create);
  EXPECT_EQ(writes[0].namespace_name, "n");
  const json& event = writes[0].body;
  EXPECT_FALSE(event.contains("series"));
  EXPECT_EQ(event["eventTime"], "2024-05-01T12:00:00.000000Z");
  EXPECT_EQ(event["type"], "Normal");
  EXPECT_TRUE(writes[0].name.starts_with("p."));
}

TEST_F(EventSeriesTest, TheSecondBeginsASeriesAndLaterOnesOnlyCount) {
  const std::string name = add(note_about("p", "Happened"), 0)[0].name;
  const auto second = add(note_about("p", "Happened"), 10);
  ASSERT_EQ(second.size(), 1U);
  EXPECT_FALSE(second[0].create);
  EXPECT_EQ(second[0].name, name);
  EXPECT_EQ(second[0].body, json({{"series", {{"count", 2}, {"lastObservedTime", "2024-05-01T12:00:10.000000Z"}}}}));
  EXPECT_TRUE(add(note_about("p", "Happened"), 20).empty());
  EXPECT_TRUE(add(note_about("p", "Happened"), 30).empty());
  EXPECT_TRUE(series.due(begin + seconds(380)).empty()) << "it may go on";
  const auto over = series.due(begin + seconds(400));
  ASSERT_EQ(over.size(), 1U);
  EXPECT_EQ(over[0].body["series"]["count"], 4);
  EXPECT_EQ(over[0].body["series"]["lastObservedTime"], "2024-05-01T12:00:30.000000Z");
  EXPECT_EQ(series.size(), 0U);
}

TEST_F(EventSeriesTest, AfterQuietABeginningIsANewEvent) {
  const std::string first = add(note_about("p", "Happened"), 0)[0].name;
  add(note_about("p", "Happened"), 1);
  add(note_about("p", "Happened"), 2);
  const auto writes = add(note_about("p", "Happened"), 400);
  ASSERT_EQ(writes.size(), 2U);
  EXPECT_EQ(writes[0].body["series"]["count"], 3) << "the old one's last count is written";
  EXPECT_TRUE(writes[1].create);
  EXPECT_NE(writes[1].name, first);
}

TEST_F(EventSeriesTest, ASeriesThatGoesOnIsRefreshed) {
  add(note_about("p", "Happened"), 0);
  size_t writes = 0;
  for (int at_s = 100; at_s <= 4000; at_s += 100) writes += add(note_about("p", "Happened"), at_s).size();
  EXPECT_EQ(writes, 3U) << "the beginning, and twice after half an hour";
}

TEST_F(EventSeriesTest, OnlyLikeEventsAreOne) {
  add(note_about("p", "Happened"), 0);
  EXPECT_TRUE(add(note_about("p", "Other"), 1)[0].create);
  EXPECT_TRUE(add(note_about("q", "Happened"), 1)[0].create);
  EventNote later = note_about("p", "Happened");
  later.regarding["resourceVersion"] = "2";
  later.note = "in other words";
  EXPECT_FALSE(add(later, 1)[0].create) << "a later version of the object is the same object";
  later.distinction = "round 2";
  EXPECT_TRUE(add(later, 1)[0].create);
}

TEST_F(EventSeriesTest, MoreSeriesThanAllowedPushOutTheOldest) {
  add(note_about("a", "Happened"), 0);
  add(note_about("a", "Happened"), 0);
  add(note_about("a", "Happened"), 0);
  add(note_about("b", "Happened"), 1);
  add(note_about("c", "Happened"), 2);
  const auto writes = add(note_about("d", "Happened"), 3);
  ASSERT_EQ(writes.size(), 2U);
  EXPECT_EQ(writes[0].body["series"]["count"], 3);
  EXPECT_EQ(series.size(), 3U);
  EXPECT_TRUE(add(note_about("a", "Happened"), 4)[0].create);
}

TEST_F(EventSeriesTest, APatchBringsTheWholeEventForTheCaseThatItIsGone) {
  add(note_about("p", "Happened"), 0);
  const auto writes = add(note_about("p", "Happened"), 1);
  EXPECT_EQ(writes[0].whole["reason"], "Happened");
  EXPECT_EQ(writes[0].whole["series"]["count"], 2);
}

TEST_F(EventSeriesTest, TextsFitTheServersLimits) {
  EventNote note = note_about(std::string(253, 'p'), "Happened");
  note.note = std::string(1023, 'x') + "\u00fc and more";
  const json event = add(note, 0)[0].body;
  EXPECT_LE(name_of(event).size(), 253U);
  EXPECT_EQ(event["note"], std::string(1023, 'x')) << "not half a character";
}

TEST_F(EventSeriesTest, EventsOfObjectsWithoutNamespaceGoToDefault) {
  EventNote note = note_about("node-1", "Happened");
  note.regarding = reference_to({{"kind", "Node"}, {"apiVersion", "v1"}, {"metadata", {{"name", "node-1"}}}});
  const auto writes = add(note, 0);
  EXPECT_EQ(writes[0].namespace_name, "default");
  EXPECT_FALSE(writes[0].body["regarding"].contains("namespace"));
}

}  // namespace
}  // namespace godwit::kube
