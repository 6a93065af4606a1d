#include "cli/load_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "cli/load_report.h"
#include "cli/load_window.h"

namespace godwit::cli {
namespace {

using ::testing::HasSubstr;

// What redis would answer, for the few commands that the clients send. The clients meet the real one in tests/cli.
class Keeper {
 public:
  Reply answer(const std::string& request) {
    // "*n\r\n$..\r\nword\r\n..." with words that hold no CR LF.
    std::vector<std::string> words;
    for (size_t at = request.find("\r\n") + 2; at < request.size();) {
      const size_t length_end = request.find("\r\n", at);
      const size_t length = std::stoul(request.substr(at + 1, length_end - at - 1));
      words.push_back(request.substr(length_end + 2, length));
      at = length_end + 2 + length + 2;
    }
    verbs.insert(words[0]);
    if (words[0] == "INCR") {
      const int64_t value = std::stoll("0" + values[words[1]]) + 1;
      values[words[1]] = std::to_string(value);
      return {Reply::Kind::integer, "", value};
    }
    if (words[0] == "SET") {
      values[words[1]] = words[2];
      return {Reply::Kind::status, "OK", 0};
    }
    const auto found = values.find(words[1]);
    if (found == values.end()) return {Reply::Kind::null, "", 0};
    return {Reply::Kind::bulk, found->second, 0};
  }
  std::map<std::string, std::string> values;
  std::set<std::string> verbs;
};

class LoadClients : public ::testing::Test {
 protected:
  LoadClients() {
    for (uint64_t i = 0; i < 10; ++i) keeper_.values[data_key(i)] = data_value(i);
  }
  // Asks until a request of this kind is under way; its reply is returned unjudged.
  Reply next(std::string_view verb, std::string_view key_part) {
    for (int i = 0; i < 10000; ++i) {
      std::string request;
      client_.next_request(request);
      const Reply reply = keeper_.answer(request);
      if (request.find(verb) != std::string::npos && request.find(key_part) != std::string::npos &&
          reply.kind != Reply::Kind::null) {
        return reply;
      }
      EXPECT_EQ(client_.judge(reply), "");
    }
    ADD_FAILURE() << "no request of this kind";
    return {};
  }
  Keeper keeper_;
  LoadClient client_{3, 10};
};

TEST_F(LoadClients, RightAnswersAreAccepted) {
  for (int i = 0; i < 20000; ++i) {
    std::string request;
    client_.next_request(request);
    ASSERT_EQ(client_.judge(keeper_.answer(request)), "");
  }
  EXPECT_EQ(keeper_.verbs, (std::set<std::string>{"INCR", "SET", "GET"}));
  EXPECT_EQ(keeper_.values[counter_key(3)], std::to_string(client_.counter()));
  for (uint64_t slot = 0; slot < LoadClient::slots; ++slot) {
    EXPECT_EQ(keeper_.values[slot_key(3, slot)], slot_value(3, slot, client_.versions()[slot]));
  }
}

TEST_F(LoadClients, ACounterOneTooFarOrTooNearIsNoticedOnce) {
  for (const int64_t slip : {1, -1}) {
    Reply reply = next("INCR", "");
    reply.integer += slip;
    EXPECT_THAT(client_.judge(reply), HasSubstr("client 3: INCR was answered"));
    keeper_.values[counter_key(3)] = std::to_string(reply.integer);
    EXPECT_EQ(client_.judge(next("INCR", "")), "");
  }
}

TEST_F(LoadClients, AnOldValueIsNoticed) {
  next("SET", "client:3:");  // not judged: the client still expects the version before
  const Reply ok{Reply::Kind::status, "OK", 0};
  EXPECT_EQ(client_.judge(ok), "");
  const Reply current = next("GET", "client:3:");
  Reply old = current;
  old.text = slot_value(3, 1, 1000);
  EXPECT_THAT(client_.judge(old), HasSubstr("instead of version"));
}

TEST_F(LoadClients, AnotherValueOfTheDataSetIsNoticed) {
  Reply reply = next("GET", "data:");
  reply.text = data_value(11);
  EXPECT_THAT(client_.judge(reply), HasSubstr("instead of its value"));
  EXPECT_THAT((next("GET", "data:"), client_.judge({Reply::Kind::null, "", 0})), HasSubstr("answered null"));
}

TEST_F(LoadClients, AnErrorIsNoticed) {
  next("INCR", "");
  EXPECT_THAT(client_.judge({Reply::Kind::error, "ERR wrong", 0}), HasSubstr("-ERR wrong"));
  next("SET", "");
  EXPECT_THAT(client_.judge({Reply::Kind::error, "OOM", 0}), HasSubstr("instead of +OK"));
}

TEST(LoadData, ValuesFollowFromTheirNamesAndDiffer) {
  EXPECT_EQ(data_value(7), data_value(7));
  EXPECT_NE(data_value(7), data_value(8));
  EXPECT_EQ(data_value(7).size(), data_value_bytes);
  EXPECT_NE(slot_value(1, 2, 3), slot_value(1, 2, 4));
  EXPECT_NE(slot_value(1, 2, 3), slot_value(1, 3, 3));
  EXPECT_NE(slot_value(1, 2, 3), slot_value(2, 2, 3));
  std::set<std::string> eights;  // nothing for a compressor to find
  const std::string value = data_value(9);
  for (size_t at = 0; at + 8 <= value.size(); ++at) eights.insert(value.substr(at, 8));
  EXPECT_EQ(eights.size(), value.size() - 7);
  for (const char byte : value) EXPECT_TRUE(byte >= 0x30 && byte < 0x70);
}

TEST(LoadWindow, GapsAreEachClientsLongestWait) {
  const Clock::time_point began = Clock::now();
  LoadWindow window(began, 100);
  for (size_t client = 0; client < 100; ++client) {
    window.on_reply(client, static_cast<double>(client + 1));
    window.on_reply(client, 0.5);
  }
  window.on_reset("first");
  window.on_lost("second");
  const WindowReport report = window.report(began + milliseconds(2000));
  EXPECT_EQ(report.requests, 200U);
  EXPECT_EQ(report.client_gap_ms_max, 100);
  EXPECT_EQ(report.client_gap_ms_p99, 99);
  EXPECT_NEAR(report.wait_ms_p50, 0.5, 0.03);
  EXPECT_NEAR(report.wait_ms_p99, 98, 5);
  EXPECT_EQ(report.lost, 1U);
  EXPECT_EQ(report.resets, 1U);
  EXPECT_EQ(report.reordered, 0U);
  EXPECT_EQ(report.seconds, 2);
  EXPECT_EQ(report.first_problem, "first");
}

TEST(LoadWindow, PercentilesByNearestRank) {
  EXPECT_EQ(percentile({}, 99), 0);
  EXPECT_EQ(percentile({3, 1, 2}, 0), 1);
  EXPECT_EQ(percentile({3, 1, 2}, 50), 2);
  EXPECT_EQ(percentile({3, 1, 2}, 99), 3);
  EXPECT_EQ(percentile({3, 1, 2}, 100), 3);
}

TEST(LoadReport, RoundTripsAndChecks) {
  const WindowReport window{.seconds = 1.5,
                            .requests = 2,
                            .lost = 3,
                            .reordered = 4,
                            .resets = 5,
                            .client_gap_ms_max = 6.5,
                            .client_gap_ms_p99 = 7.5,
                            .wait_ms_p50 = 8,
                            .wait_ms_p99 = 9,
                            .first_problem = "x"};
  const Result<WindowReport> again = window_report_from(to_json(window));
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(to_json(*again), to_json(window));
  nlohmann::json broken = to_json(window);
  broken["lost"] = -1;
  EXPECT_THAT(window_report_from(broken).error().message, HasSubstr("'lost'"));
  const VerifyReport verified{9, 8, 7, 6, true, "y"};
  EXPECT_EQ(to_json(*verify_report_from(to_json(verified))), to_json(verified));
  EXPECT_EQ(populate_report_from(to_json(PopulateReport{1, 2}))->used_memory_bytes, 2U);
}

}  // namespace
}  // namespace godwit::cli
