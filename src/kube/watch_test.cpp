#include "kube/watch.h"

#include <gtest/gtest.h>

#include <vector>

namespace godwit::kube {
namespace {

const std::string two_events = R"({"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"5"}}})"
                               "\n"
                               R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})"
                               "\n";

TEST(WatchDecoder, EventsComeWholeHoweverTheBytesAreCut) {
  for (size_t piece = 1; piece <= two_events.size(); ++piece) {
    std::vector<WatchEvent> events;
    WatchDecoder decoder([&](WatchEvent event) { events.push_back(std::move(event)); });
    for (size_t at = 0; at < two_events.size(); at += piece) {
      ASSERT_TRUE(decoder.feed(std::string_view(two_events).substr(at, piece)));
    }
    ASSERT_EQ(events.size(), 2U) << "pieces of " << piece;
    EXPECT_EQ(events[0].type, WatchEventType::added);
    EXPECT_EQ(events[0].object["metadata"]["name"], "a");
    EXPECT_EQ(events[1].type, WatchEventType::bookmark);
  }
}

TEST(WatchDecoder, AnErrorEventIsTheEnd) {
  WatchDecoder decoder([](const WatchEvent&) { FAIL() << "no event comes after the error"; });
  EXPECT_FALSE(
      decoder.feed(R"({"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired","message":"too old"}})"
                   "\n" +
                   two_events));
  ASSERT_TRUE(decoder.error().has_value());
  EXPECT_TRUE(decoder.error()->gone());
  EXPECT_EQ(decoder.error()->reason, "Expired");
}

TEST(WatchDecoder, ATypeOfTheFutureIsPassedOver) {
  int events = 0;
  WatchDecoder decoder([&](const WatchEvent&) { ++events; });
  EXPECT_TRUE(decoder.feed("{\"type\":\"RENAMED\",\"object\":{}}\n\n" + two_events));
  EXPECT_EQ(events, 2);
}

TEST(WatchDecoder, WhatIsNoEventIsAnError) {
  for (const char* line : {"hello\n", "{}\n", "[1]\n", "{\"type\":\"ADDED\"}\n", "{\"type\":1,\"object\":{}}\n"}) {
    WatchDecoder decoder([](const WatchEvent&) { FAIL(); });
    EXPECT_FALSE(decoder.feed(line)) << line;
    EXPECT_EQ(decoder.error()->kind, ApiErrorKind::answer);
  }
}

TEST(WatchDecoder, ALineWithoutEndDoesNotEatAllMemory) {
  WatchDecoder decoder([](const WatchEvent&) {});
  const std::string piece(1 << 20, 'x');
  int fed = 0;
  while (decoder.feed(piece) && fed < 100) ++fed;
  EXPECT_LT(fed, 20);
  EXPECT_EQ(decoder.error()->kind, ApiErrorKind::answer);
}

}  // namespace
}  // namespace godwit::kube
