// The demo's clients against a real redis: they must find nothing wrong with it, and must notice each of the things
// that a broken migration could do to them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <optional>

#include "cli/load_dataset.h"
#include "cli/load_driver.h"
#include "lab/lab.h"
#include "tampering_proxy.h"

namespace godwit::cli {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr uint16_t redis_port = 6379;
constexpr uint16_t proxy_port = 6380;
constexpr int reply_max_ms = 2000;  // longer than a busy machine lets a redis wait
constexpr uint64_t data_bytes = uint64_t{8} << 20;

bool go_on(double) {
  return true;
}

// One redis for all tests, in the network outside of a lab's node; each test begins with it empty.
class Load : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    auto lab = lab::Lab::start({.nodes = 1});
    ASSERT_TRUE(lab.has_value()) << lab.error().message;
    lab_.emplace(std::move(*lab));
    auto redis = lab_->outside().spawn({"redis-server", "--port", std::to_string(redis_port), "--save", ""});
    ASSERT_TRUE(redis.has_value()) << redis.error().message;
    redis_.emplace(std::move(*redis));
  }
  static void TearDownTestSuite() {
    redis_.reset();
    lab_.reset();
  }

  void SetUp() override {
    if (!lab_) GTEST_SKIP() << "a lab needs root";
    proxy_.emplace(lab_->outside().netns_path(), proxy_port, redis_port);
    ASSERT_TRUE(proxy_->wait_until_ready(Deadline::after(seconds(10))).has_value());
    auto load = LoadDriver::start({.program = GODWIT_PROGRAM,
                                   .network_namespace = lab_->outside().netns_path(),
                                   .target = fmt::format("127.0.0.1:{}", proxy_port),
                                   .clients = 4,
                                   .rate_per_s = 2000,
                                   .reply_max_ms = reply_max_ms});
    ASSERT_TRUE(load.has_value()) << load.error().message;
    load_.emplace(std::move(*load));
    // Comes first: it waits for redis to be there.
    const auto data = load_->populate(data_bytes, go_on);
    ASSERT_TRUE(data.has_value()) << data.error().message;
    EXPECT_GT(data->keys, 2000U);
    EXPECT_GE(data->used_memory_bytes, data_bytes);
    ASSERT_TRUE(load_->start_clients().has_value());
  }
  void TearDown() override {
    load_.reset();
    proxy_.reset();
    if (lab_) redis_cli({"flushall"});
  }

  static std::string redis_cli(std::vector<std::string> words) {
    words.insert(words.begin(), "redis-cli");
    const auto said = lab_->outside().exec_checked(words, Deadline::after(seconds(10)));
    EXPECT_TRUE(said.has_value()) << said.error().message;
    return said.value_or("");
  }

  // What the clients report of a window in which `what` was done to them.
  WindowReport window_with(Tamper what, int length_ms = 1000) {
    EXPECT_TRUE(load_->begin_window().has_value());
    std::this_thread::sleep_for(milliseconds(50));
    proxy_->tamper(what);
    std::this_thread::sleep_for(milliseconds(length_ms));
    EXPECT_TRUE(proxy_->tampered());
    const auto report = load_->end_window();
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report.value_or(WindowReport{});
  }

  VerifyReport verify() {
    EXPECT_TRUE(load_->stop_clients().has_value());
    const auto report = load_->verify(go_on);
    EXPECT_TRUE(report.has_value()) << report.error().message;
    return report.value_or(VerifyReport{});
  }

  static std::optional<lab::Lab> lab_;
  static std::optional<os::Subprocess> redis_;
  std::optional<TamperingProxy> proxy_;
  std::optional<LoadDriver> load_;
};

std::optional<lab::Lab> Load::lab_;
std::optional<os::Subprocess> Load::redis_;

TEST_F(Load, FindsNothingWrongWithARedisThatWorks) {
  const WindowReport window = window_with(Tamper::none);
  EXPECT_GT(window.requests, 500U);
  EXPECT_EQ(window.lost + window.reordered + window.resets, 0U) << window.first_problem;
  EXPECT_GT(window.client_gap_ms_max, 0);
  EXPECT_GE(window.client_gap_ms_max, window.client_gap_ms_p99);
  const VerifyReport data = verify();
  EXPECT_EQ(data.keys_wrong, 0U) << data.first_problem;
  EXPECT_EQ(data.keys_counted, data.keys_expected);
  EXPECT_GT(data.keys_read, 2000U + 4 * LoadClient::slots);
  EXPECT_TRUE(data.same_process);
}

TEST_F(Load, ACounterThatSkipsIsReordered) {
  const WindowReport window = window_with(Tamper::skip_count);
  EXPECT_EQ(window.reordered, 2U) << "one too high, and then one too low";
  EXPECT_EQ(window.lost + window.resets, 0U);
  EXPECT_THAT(window.first_problem, HasSubstr("INCR was answered"));
}

TEST_F(Load, AChangedByteIsReordered) {
  const WindowReport window = window_with(Tamper::garble);
  EXPECT_EQ(window.reordered, 1U);
  EXPECT_THAT(window.first_problem, HasSubstr("GET"));
}

TEST_F(Load, AReplyGivenTwiceIsReordered) {
  EXPECT_GE(window_with(Tamper::repeat).reordered, 1U);
}

TEST_F(Load, AReplyThatNeverComesIsLost) {
  const WindowReport window = window_with(Tamper::swallow, reply_max_ms + 1000);
  EXPECT_EQ(window.lost, 1U);
  EXPECT_GT(window.client_gap_ms_max, reply_max_ms) << "the wait of a request that is still unanswered counts";
  EXPECT_THAT(window.first_problem, HasSubstr("no reply in"));
}

TEST_F(Load, AResetConnectionIsSeen) {
  const WindowReport window = window_with(Tamper::reset);
  EXPECT_EQ(window.resets, 1U);
  EXPECT_EQ(window.lost, 1U) << "the request that was under way";
  EXPECT_THAT(window.first_problem, HasSubstr("Connection reset"));
}

TEST_F(Load, AClosedConnectionIsSeen) {
  const WindowReport window = window_with(Tamper::close);
  EXPECT_EQ(window.resets, 1U);
  EXPECT_THAT(window.first_problem, HasSubstr("closed by the server"));
}

TEST_F(Load, APauseIsTheGap) {
  const WindowReport window = window_with(Tamper::hold);
  EXPECT_EQ(window.lost + window.reordered + window.resets, 0U) << window.first_problem;
  EXPECT_GE(window.client_gap_ms_max, TamperingProxy::hold_ms);
  // Held for one, held for all: each client had a request under way.
  EXPECT_GE(window.client_gap_ms_p99, TamperingProxy::hold_ms - 20);
}

TEST_F(Load, WhatChangedBehindTheClientsIsFoundAtTheEnd) {
  ASSERT_TRUE(load_->stop_clients().has_value());
  redis_cli({"set", data_key(7), "else"});
  redis_cli({"del", data_key(8)});
  redis_cli({"set", "foreign", "key"});
  const VerifyReport data = verify();
  EXPECT_EQ(data.keys_wrong, 2U);
  EXPECT_EQ(data.first_problem, data_key(7) + " is not what was written last");
  EXPECT_EQ(data.keys_counted, data.keys_expected) << "one less and one more";
}

TEST_F(Load, AnAbandonedCommandEndsWithAnError) {
  const auto data = load_->verify([](double) { return false; });
  ASSERT_FALSE(data.has_value());
  EXPECT_EQ(data.error().message, "interrupted");
}

}  // namespace
}  // namespace godwit::cli
