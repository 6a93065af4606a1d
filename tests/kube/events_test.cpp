// Events as the real server takes and shows them.
#include <gtest/gtest.h>

#include "fault_proxy.h"
#include "kube/event_recorder.h"
#include "kube/json_path.h"
#include "objects.h"

namespace godwit::kube {
namespace {

struct EventsTest : testing::Test {
  ControlPlane& plane = control_plane();
  Client client{plane.access()};
  RecorderOptions options{.source = {"live.cast.ai/controller", "controller-0"}};

  json object(const std::string& name) {
    make(client, config_map(name));
    return client.get(config_map(name), soon()).value();
  }
  std::vector<json> events_of(const std::string& name) {
    return client
        .list_all(resources::events, {.namespace_name = "default", .field_selector = "regarding.name=" + name}, soon())
        .value();
  }
};

EventNote note_about(const json& object, const std::string& reason) {
  return {.regarding = reference_to(object), .reason = reason, .action = "Testing", .note = "it happened"};
}

TEST_F(EventsTest, LikeEventsBecomeOneWithASeries) {
  const json about = object("series");
  EventRecorder recorder(client, options);
  for (int i = 0; i < 3; ++i) recorder.record(note_about(about, "Happened"));
  recorder.record(note_about(about, "Otherwise"));
  ASSERT_TRUE(recorder.flush(Deadline::after(seconds(10))));
  const auto events = events_of("series");
  ASSERT_EQ(events.size(), 2U);
  const json& series = text_at(events[0], "/reason") == "Happened" ? events[0] : events[1];
  EXPECT_EQ(number_at(series, "/series/count"), 2) << "it is written when it begins, and then not for each";
  EXPECT_EQ(text_at(series, "/note"), "it happened");
  EXPECT_EQ(text_at(series, "/regarding/uid"), uid_of(about));
  EXPECT_EQ(text_at(series, "/reportingController"), "live.cast.ai/controller");
}

TEST_F(EventsTest, TheEndWritesWhatIsQueuedAndTheLastCount) {
  const json about = object("farewell");
  {
    EventRecorder recorder(client, options);
    for (int i = 0; i < 7; ++i) recorder.record(note_about(about, "Happened"));
  }
  const auto events = events_of("farewell");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(number_at(events[0], "/series/count"), 7);
}

TEST_F(EventsTest, KubectlShowsThem) {
  const json about = object("shown");
  EventRecorder recorder(client, options);
  recorder.record(note_about(about, "PreDumpFinished"));
  ASSERT_TRUE(recorder.flush(Deadline::after(seconds(10))));
  const auto described = plane.kubectl({"events", "--for", "configmap/shown"});
  ASSERT_TRUE(described.has_value());
  EXPECT_TRUE(described->text.contains("PreDumpFinished")) << described->text;
  EXPECT_TRUE(described->text.contains("it happened")) << described->text;
}

TEST_F(EventsTest, AnEventThatIsGoneIsMadeAgainWithItsSeries) {
  const json about = object("expired");
  EventRecorder recorder(client, options);
  recorder.record(note_about(about, "Happened"));
  ASSERT_TRUE(recorder.flush(Deadline::after(seconds(10))));
  const auto events = events_of("expired");
  ASSERT_EQ(events.size(), 1U);
  ASSERT_TRUE(succeeded(client.remove({resources::events, "default", name_of(events[0]), ""}, {}, soon())));
  recorder.record(note_about(about, "Happened"));
  ASSERT_TRUE(recorder.flush(Deadline::after(seconds(10))));
  const auto again = events_of("expired");
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(number_at(again[0], "/series/count"), 2);
}

TEST_F(EventsTest, AServerThatIsAwayForAWhileLosesNoEvent) {
  const json about = object("away");
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  EventRecorder recorder(through, options);
  proxy.set(Fault::cut);
  recorder.record(note_about(about, "One"));
  recorder.record(note_about(about, "Two"));
  EXPECT_FALSE(recorder.flush(Deadline::after(milliseconds(700))));
  proxy.set(Fault::none);
  EXPECT_TRUE(recorder.flush(Deadline::after(seconds(10))));
  EXPECT_EQ(events_of("away").size(), 2U);
  EXPECT_EQ(recorder.figures().dropped, 0U);
}

TEST_F(EventsTest, AFullQueueDropsAndCountsAndNeverWaits) {
  const json about = object("flood");
  FaultProxy proxy(ControlPlane::port);
  Client through(plane.access(proxy.port()));
  proxy.set(Fault::stall);
  options.queue_max = 10;
  EventRecorder recorder(through, options);
  const auto began = Clock::now();
  for (int i = 0; i < 100; ++i) recorder.record(note_about(about, fmt::format("Reason{}", i)));
  EXPECT_LT(elapsed_ms(began), 500);
  EXPECT_GE(recorder.figures().dropped, 89U);
  proxy.set(Fault::cut);
}

TEST_F(EventsTest, OneThatTheServerRefusesDoesNotHoldUpTheNext) {
  const json about = object("refused");
  EventRecorder recorder(client, options);
  EventNote bad = note_about(about, "Bad");
  bad.action = "";  // required
  recorder.record(bad);
  recorder.record(note_about(about, "Good"));
  ASSERT_TRUE(recorder.flush(Deadline::after(seconds(10))));
  const auto events = events_of("refused");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(text_at(events[0], "/reason"), "Good");
  EXPECT_EQ(recorder.figures().dropped, 1U);
}

}  // namespace
}  // namespace godwit::kube
