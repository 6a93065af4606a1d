#include "agent/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "agent/requests.h"

namespace godwit::agent {
namespace {

using ::testing::HasSubstr;

template <typename T>
T round_trip(const T& event) {
  const Result<Event> decoded = decode_event(encode_event(event));
  if (!decoded) {
    ADD_FAILURE() << decoded.error().message;
    return {};
  }
  if (!std::holds_alternative<T>(*decoded)) {
    ADD_FAILURE() << "decoded as another event";
    return {};
  }
  return std::get<T>(*decoded);
}

TEST(Events, RoundTripKeepsEveryMember) {
  const auto session = round_trip(SessionEvent{"s1", "redis", "node-1", "node-2"});
  EXPECT_EQ(session.session + session.container + session.from + session.to, "s1redisnode-1node-2");
  const auto phase = round_trip(PhaseEvent{Phase::pre_copy, 12.5});
  EXPECT_EQ(phase.phase, Phase::pre_copy);
  EXPECT_EQ(phase.at_ms, 12.5);
  const auto progress = round_trip(ProgressEvent{2, 10, uint64_t{1} << 40});
  EXPECT_EQ(progress.round, 2U);
  EXPECT_EQ(progress.bytes_sent, 10U);
  EXPECT_EQ(progress.bytes_total, uint64_t{1} << 40);
  const auto missed = round_trip(MissedRoundEvent{.round = 3, .failed = true, .reason = "no"});
  EXPECT_EQ(missed.round, 3U);
  EXPECT_TRUE(missed.failed);
  EXPECT_EQ(missed.reason, "no");

  const auto round = round_trip(RoundEvent{3, 4, 5, 6, 0.7, 8.0, 9.5});
  EXPECT_EQ(round.round, 3U);
  EXPECT_EQ(round.dirty_pages, 4U);
  EXPECT_EQ(round.bytes, 5U);
  EXPECT_EQ(round.wire_bytes, 6U);
  EXPECT_EQ(round.seconds, 0.7);
  EXPECT_EQ(round.rate_bytes_per_s, 8.0);
  EXPECT_EQ(round.predicted_pause_ms, 9.5);
  EXPECT_EQ(round_trip(NoteEvent{"does not converge: \"x\"\n"}).text, "does not converge: \"x\"\n");
}

TEST(Events, TimelineKeepsOrderAndStepsThatBeganBeforeTheFreeze) {
  const auto timeline = round_trip(TimelineEvent{{{"prepare slot", -4.5, 4.0}, {"freeze tasks", 0, 3.1}}});
  ASSERT_EQ(timeline.steps.size(), 2U);
  EXPECT_EQ(timeline.steps[0].name, "prepare slot");
  EXPECT_EQ(timeline.steps[0].start_ms, -4.5);
  EXPECT_EQ(timeline.steps[1].duration_ms, 3.1);
}

TEST(Events, ListsRoundTrip) {
  const auto containers = round_trip(ContainersEvent{{{"redis", "running", 42, 1000, "10.0.0.7", "s1"}, {}}});
  ASSERT_EQ(containers.containers.size(), 2U);
  EXPECT_EQ(containers.containers[0].pid, 42);
  EXPECT_EQ(containers.containers[0].session, "s1");
  const auto sessions =
      round_trip(SessionsEvent{{{"s1", "redis", "source", "node-1", "node-2", Phase::freeze, 1.5, 30.25, "why"}}});
  ASSERT_EQ(sessions.sessions.size(), 1U);
  EXPECT_EQ(sessions.sessions[0].phase, Phase::freeze);
  EXPECT_EQ(sessions.sessions[0].pause_ms, 30.25);
}

TEST(Events, ResultRoundTrips) {
  const auto moved = round_trip(ResultEvent{.ok = true,
                                            .session = "s1",
                                            .container = "redis",
                                            .from = "node-1",
                                            .to = "node-2",
                                            .pause_ms = 38.1,
                                            .client_gap_ms = 40.2,
                                            .memory_bytes = 1,
                                            .bytes_on_wire = 2,
                                            .rounds = 3,
                                            .frozen_during_precopy_ms = 0.5});
  EXPECT_TRUE(moved.ok);
  EXPECT_EQ(moved.pause_ms, 38.1);
  EXPECT_EQ(moved.client_gap_ms, 40.2);
  EXPECT_EQ(moved.frozen_during_precopy_ms, 0.5);
  EXPECT_EQ(moved.rounds, 3U);
  const auto unknown = round_trip(ResultEvent{.unknown = true, .rolled_back = false, .reason = "no answer"});
  EXPECT_TRUE(unknown.unknown);
  EXPECT_FALSE(unknown.lost);
  EXPECT_EQ(unknown.reason, "no answer");
  EXPECT_TRUE(round_trip(ResultEvent{.lost = true, .reason = "the node died"}).lost);
}

TEST(Events, EncodingStaysWithinTheLimitsOfTheReader) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_EQ(round_trip(PhaseEvent{Phase::freeze, nan}).at_ms, 0);
  EXPECT_EQ(round_trip(RoundEvent{.seconds = -1e-9}).seconds, 0);
  EXPECT_EQ(round_trip(NoteEvent{std::string(10000, 'x')}).text.size(), event_text_bytes_max);
  EXPECT_THAT(round_trip(NoteEvent{"bad \xff byte"}).text, HasSubstr("byte"));
  EXPECT_EQ(round_trip(TimelineEvent{std::vector<TimelineStep>(5000)}).steps.size(), timeline_steps_max);
  const ContainerInfo wide{.name = std::string(4096, 'n'), .state = std::string(4096, 's')};
  const auto cut = round_trip(ContainersEvent{std::vector<ContainerInfo>(3000, wide)});
  EXPECT_GT(cut.containers.size(), 50U);
  EXPECT_LT(cut.containers.size(), 256U) << "a line is at most 1 MiB";
}

TEST(Events, CutsTextAtACharacterBoundary) {
  std::string text(event_text_bytes_max - 1, 'x');
  text += "\xc3\xa9";  // an e acute of two bytes across the limit
  EXPECT_EQ(round_trip(NoteEvent{text}).text, std::string(event_text_bytes_max - 1, 'x'));
}

struct Malformed {
  const char* line;
  const char* complaint;
};

TEST(Events, MalformedLinesAreRefusedWithTheReason) {
  const Malformed cases[] = {
      {"", "not JSON"},
      {"{\"event\":\"note\"", "not JSON"},
      {"[]", "not an object"},
      {"7", "not an object"},
      {"{}", "'event' is missing"},
      {R"({"event":7})", "'event' is not a string"},
      {R"({"event":"party"})", "unknown event 'party'"},
      {R"({"event":"note"})", "'text' is missing"},
      {R"({"event":"note","text":null})", "'text' is not a string"},
      {R"({"event":"phase","phase":"later","at_ms":1})", "unknown phase 'later'"},
      {R"({"event":"phase","phase":"freeze","at_ms":-1})", "'at_ms' is out of range"},
      {R"({"event":"phase","phase":"freeze","at_ms":"1"})", "'at_ms' is not a number"},
      {R"({"event":"phase","phase":"freeze","at_ms":1e999})", "not JSON"},
      {R"({"event":"progress","round":-1,"bytes_sent":0,"bytes_total":0})", "'round' is not a whole number"},
      {R"({"event":"progress","round":1.5,"bytes_sent":0,"bytes_total":0})", "'round' is not a whole number"},
      {R"({"event":"timeline","steps":{}})", "'steps' is not a list"},
      {R"({"event":"timeline","steps":[3]})", "is not an object"},
      {R"({"event":"timeline","steps":[{"name":"x","start_ms":0}]})", "'ms' is missing"},
      {R"({"event":"result","ok":"yes"})", "'ok' is not true or false"},
  };
  for (const Malformed& one : cases) {
    const Result<Event> decoded = decode_event(one.line);
    ASSERT_FALSE(decoded.has_value()) << one.line;
    EXPECT_THAT(decoded.error().message, HasSubstr(one.complaint)) << one.line;
  }
}

TEST(Events, RefusesWhatContradictsItselfOrIsTooLong) {
  std::string line = encode_event(ResultEvent{.ok = true});
  line.replace(line.find("\"rolled_back\":false"), 19, "\"rolled_back\":true");
  EXPECT_THAT(decode_event(line).error().message, HasSubstr("contradicts"));
  EXPECT_THAT(decode_event(std::string(event_line_bytes_max + 1, ' ')).error().message, HasSubstr("too long"));
  const std::string long_text = R"({"event":"note","text":")" + std::string(5000, 'x') + "\"}";
  EXPECT_THAT(decode_event(long_text).error().message, HasSubstr("too long"));
}

TEST(Events, IgnoresMembersItDoesNotKnow) {
  EXPECT_TRUE(decode_event(R"({"event":"note","text":"x","colour":"blue"})").has_value());
}

TEST(Requests, MigrateRoundTripsWithOptions) {
  MigrateRequest request{.container = "redis", .to = "10.0.0.2:9876", .to_name = "node-2", .options = {}};
  request.companions = {"client", "sidecar"};
  request.options = {.bandwidth_bytes_per_s = 125000000,
                     .lanes = 4,
                     .page_store_bytes = uint64_t{2} << 30,
                     .deadline_ms = 300000,
                     .iterations = 7,
                     .dirty_pages = 100,
                     .freeze_time_ms = 40.5,
                     .be_done_soon = true};
  const Result<Request> decoded = decode_request(encode_request(request));
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
  const auto& migrate = std::get<MigrateRequest>(*decoded);
  EXPECT_EQ(migrate.companions, request.companions);
  EXPECT_EQ(migrate.container + migrate.to + migrate.to_name, "redis10.0.0.2:9876node-2");
  EXPECT_EQ(migrate.options.bandwidth_bytes_per_s, 125000000U);
  EXPECT_EQ(migrate.options.lanes, 4U);
  EXPECT_EQ(migrate.options.page_store_bytes, uint64_t{2} << 30);
  EXPECT_EQ(migrate.options.deadline_ms, 300000);
  EXPECT_EQ(migrate.options.iterations, 7U);
  EXPECT_EQ(migrate.options.dirty_pages, 100U);
  EXPECT_EQ(migrate.options.freeze_time_ms, 40.5);
  EXPECT_TRUE(migrate.options.be_done_soon);
}

TEST(Requests, OptionsLeftOutStayOut) {
  const Result<Request> decoded = decode_request(R"({"verb":"migrate","container":"c","to":"10.0.0.2:1"})");
  ASSERT_TRUE(decoded.has_value());
  EXPECT_FALSE(std::get<MigrateRequest>(*decoded).options.lanes.has_value());
  EXPECT_FALSE(std::get<MigrateRequest>(*decoded).options.deadline_ms.has_value());
}

TEST(Events, AddressesRoundTrip) {
  const AddressesEvent before{.kept = {{"s1", {"10.0.1.5", "fd00::5"}}},
                              .guests = {{"10.0.2.7", true, "here"}},
                              .routes = {{"10.0.3.1", "10.1.0.3"}}};
  const Result<Event> decoded = decode_event(encode_event(before));
  ASSERT_TRUE(decoded.has_value()) << decoded.error().message;
  const auto& after = std::get<AddressesEvent>(*decoded);
  ASSERT_EQ(after.kept.size(), 1U);
  EXPECT_EQ(after.kept[0].sandbox, "s1");
  EXPECT_EQ(after.kept[0].addresses, before.kept[0].addresses);
  EXPECT_EQ(after.guests, before.guests);
  EXPECT_EQ(after.routes, before.routes);
  EXPECT_FALSE(decode_event(R"({"event":"addresses","kept":[],"guests":[7],"routes":[]})"));
  EXPECT_FALSE(decode_event(
      R"({"event":"addresses","kept":[{"sandbox":"s1","addresses":"10.0.1.5"}],"guests":[],"routes":[]})"));
}

TEST(Requests, OtherVerbsRoundTrip) {
  EXPECT_TRUE(std::holds_alternative<PsRequest>(*decode_request(encode_request(PsRequest{}))));
  EXPECT_TRUE(std::holds_alternative<SessionsRequest>(*decode_request(encode_request(SessionsRequest{}))));
  EXPECT_EQ(std::get<InspectRequest>(*decode_request(encode_request(InspectRequest{"s1"}))).session, "s1");
  const AddressesRequest orders{
      .release = {"s1", "s2"}, .set_routes = {{"10.0.1.5", "10.1.0.2"}}, .drop_routes = {"fd00::7"}};
  const auto read = std::get<AddressesRequest>(*decode_request(encode_request(orders)));
  EXPECT_EQ(read.release, orders.release);
  EXPECT_EQ(read.set_routes, orders.set_routes);
  EXPECT_EQ(read.drop_routes, orders.drop_routes);
  EXPECT_FALSE(decode_request(R"({"verb":"addresses","release":[1],"set_routes":[],"drop_routes":[]})"));
  EXPECT_FALSE(decode_request(R"({"verb":"addresses","release":[],"set_routes":[{"via":"a"}],"drop_routes":[]})"));
  EXPECT_EQ(std::get<CancelRequest>(*decode_request(encode_request(CancelRequest{"s2"}))).session, "s2");
  for (const bool keep : {true, false}) {
    const auto abandon = decode_request(encode_request(AbandonRequest{.session = "s3", .keep = keep}));
    EXPECT_EQ(std::get<AbandonRequest>(*abandon).session, "s3");
    EXPECT_EQ(std::get<AbandonRequest>(*abandon).keep, keep);
  }
  for (const bool hold : {true, false}) {
    const auto decoded = decode_request(encode_request(HoldRequest{.container = "c", .hold = hold}));
    EXPECT_EQ(std::get<HoldRequest>(*decoded).container, "c");
    EXPECT_EQ(std::get<HoldRequest>(*decoded).hold, hold);
  }
  const auto changed =
      decode_request(encode_request(ReconfigureRequest{.session = "s4", .options = {.iterations = 2}}));
  EXPECT_EQ(std::get<ReconfigureRequest>(*changed).session, "s4");
  EXPECT_EQ(std::get<ReconfigureRequest>(*changed).options.iterations, 2U);
  EXPECT_THAT(decode_request(R"({"verb":"abandon","session":"s3"})").error().message, HasSubstr("copy"));
}

TEST(Requests, MalformedLinesAreRefusedWithTheReason) {
  const Malformed cases[] = {
      {"migrate redis", "not JSON"},
      {"null", "not an object"},
      {"{}", "'verb' is missing"},
      {R"({"verb":"destroy"})", "unknown verb 'destroy'"},
      {R"({"verb":"migrate","to":"x"})", "'container' is missing"},
      {R"({"verb":"migrate","container":"","to":"x"})", "'container' is empty"},
      {R"({"verb":"migrate","container":"c","to":"x","options":[]})", "options: is not an object"},
      {R"({"verb":"migrate","container":"c","to":"x","options":{"lanes":0}})", "'lanes' is 0, not in 1 to 16"},
      {R"({"verb":"migrate","container":"c","to":"x","options":{"lanes":"4"}})", "'lanes' is not a whole number"},
      {R"({"verb":"migrate","container":"c","to":"x","options":{"deadline_ms":-4}})", "'deadline_ms' is out of range"},
      {R"({"verb":"cancel"})", "'session' is missing"},
      {R"({"verb":"inspect","session":""})", "'session' is empty"},
  };
  for (const Malformed& one : cases) {
    const Result<Request> decoded = decode_request(one.line);
    ASSERT_FALSE(decoded.has_value()) << one.line;
    EXPECT_THAT(decoded.error().message, HasSubstr(one.complaint)) << one.line;
  }
}

}  // namespace
}  // namespace godwit::agent
