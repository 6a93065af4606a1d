#include "transfer/control_channel.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transfer/loopback.h"

namespace godwit::transfer {
namespace {

using nlohmann::json;
using std::chrono::seconds;
using testing::HasSubstr;

Deadline soon() {
  return Deadline::after(seconds(10));
}

std::string error_of(const auto& result) {
  return result ? "no error" : result.error().message;
}

TEST(ControlFrame, HeadersAreChecked) {
  const auto there_and_back = [](ControlHeader header) { return decode_control_header(encode_control_header(header)); };
  const auto good = there_and_back({.kind = ControlKind::message, .length_bytes = 0x010203});
  ASSERT_TRUE(good);
  EXPECT_EQ(good->kind, ControlKind::message);
  EXPECT_EQ(good->length_bytes, 0x010203U);
  EXPECT_TRUE(there_and_back({.kind = ControlKind::heartbeat, .length_bytes = 0}));
  EXPECT_TRUE(there_and_back({.kind = ControlKind::message, .length_bytes = message_bytes_max}));
  EXPECT_THAT(error_of(there_and_back({.kind = ControlKind::message, .length_bytes = message_bytes_max + 1})),
              HasSubstr("length 4194305"));
  EXPECT_THAT(error_of(there_and_back({.kind = ControlKind::heartbeat, .length_bytes = 1})), HasSubstr("length 1"));
  EXPECT_THAT(error_of(there_and_back({.kind = ControlKind::blob, .length_bytes = 8})), HasSubstr("length 8"));
  EXPECT_THAT(error_of(there_and_back({.kind = ControlKind::blob, .length_bytes = 1000})), HasSubstr("length 1000"));
  EXPECT_THAT(error_of(there_and_back({.kind = ControlKind{0}, .length_bytes = 0})), HasSubstr("unknown kind 0"));
  EXPECT_THAT(error_of(there_and_back({.kind = ControlKind{200}, .length_bytes = 0})), HasSubstr("unknown kind 200"));
}

TEST(ControlFrame, MessagesAreBoundedInSizeAndDepth) {
  EXPECT_EQ(*decode_message(R"({"a":["[[[[",1]})"), json({{"a", {"[[[[", 1}}}));
  EXPECT_THAT(error_of(decode_message("")), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(decode_message("{\"a\":1")), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(decode_message("{} x")), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(decode_message("{\"\xff\":1}")), HasSubstr("not JSON"));
  EXPECT_THAT(error_of(decode_message("[1]")), HasSubstr("array and not an object"));
  const auto nested = [](size_t depth) {
    return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(decode_message(nested(message_depth_max)));
  EXPECT_THAT(error_of(decode_message(nested(message_depth_max + 1))), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of(decode_message(std::string(message_bytes_max, '['))), HasSubstr("nested deeper"));
  EXPECT_THAT(error_of(encode_message({{"text", std::string(message_bytes_max, 'x')}})), HasSubstr("at most"));
  // What the operating system hands us as text need not be UTF-8.
  EXPECT_TRUE(decode_message(*encode_message({{"text", "caf\xe9"}})));
}

TEST(ControlFrame, BlobNamesArePlainFileNames) {
  const Blob blob{.name = "core-42.img", .size_bytes = 0x0102030405060708};
  EXPECT_EQ(*decode_blob(*encode_blob(blob)), blob);
  for (const char* name : {"", ".", "..", ".hidden", "a/b", "/etc/passwd", "a b", "a\n", "\xff"}) {
    EXPECT_FALSE(encode_blob({.name = name, .size_bytes = 1})) << name;
    EXPECT_FALSE(decode_blob(std::string(8, '\0') + name)) << name;
  }
  EXPECT_FALSE(encode_blob({.name = std::string(blob_name_bytes_max + 1, 'a'), .size_bytes = 1}));
  EXPECT_FALSE(decode_blob("1234567"));
}

UniqueFd file_with(const std::string& contents) {
  UniqueFd fd(::memfd_create("godwit-test", MFD_CLOEXEC));
  EXPECT_TRUE(os::write_all(fd.get(), contents.data(), contents.size()));
  return fd;
}

std::string contents_of(int fd) {
  std::string text(static_cast<size_t>(::lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(::pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

// Keeps what arrives as memfds.
struct BlobStore {
  std::map<std::string, UniqueFd> files;
  auto opener() {
    return [this](const Blob& blob) -> Result<UniqueFd> {
      UniqueFd fd(::memfd_create("godwit-test", MFD_CLOEXEC));
      UniqueFd copy(::dup(fd.get()));
      files[blob.name] = std::move(fd);
      return copy;
    };
  }
};

class Control : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Authority::create();
    ASSERT_TRUE(made) << made.error().message;
    authority_.emplace(std::move(*made));
    auto identity = authority_->identity("node-a");
    ASSERT_TRUE(identity) << identity.error().message;
    auto streams = connect_streams(*identity, *identity, soon());
    ASSERT_TRUE(streams) << streams.error().message;
    streams_ = std::move(*streams);
  }
  void open(const ControlOptions& a = {}, const ControlOptions& b = {}) {
    a_ = std::make_unique<ControlChannel>(std::move(streams_.client), a);
    b_ = std::make_unique<ControlChannel>(std::move(streams_.server), b);
  }
  // b against raw bytes from our hand.
  void open_raw(const ControlOptions& b = {}) { b_ = std::make_unique<ControlChannel>(std::move(streams_.server), b); }
  void send_raw(const std::string& bytes) {
    ASSERT_TRUE(streams_.client->write(bytes.data(), bytes.size()));
    ASSERT_TRUE(streams_.client->flush());
  }
  static std::string raw_frame(uint8_t kind, uint32_t length, const std::string& payload) {
    const auto header = encode_control_header({.kind = static_cast<ControlKind>(kind), .length_bytes = length});
    return std::string(reinterpret_cast<const char*>(header.data()), header.size()) + payload;
  }

  std::optional<Authority> authority_;
  StreamPair streams_;
  std::unique_ptr<ControlChannel> a_;
  std::unique_ptr<ControlChannel> b_;
};

TEST_F(Control, MessagesAndBlobsArriveInOrder) {
  BlobStore store;
  open({}, {.open_blob = store.opener()});
  const std::string big(3'000'000, 'x');
  const UniqueFd big_file = file_with(big);
  const UniqueFd empty_file = file_with("");
  ASSERT_TRUE(a_->send({{"n", 1}}));
  ASSERT_TRUE(a_->send_blob({.name = "pages.img", .size_bytes = big.size()}, big_file.get()));
  ASSERT_TRUE(a_->send_blob({.name = "empty.img", .size_bytes = 0}, empty_file.get()));
  ASSERT_TRUE(a_->send({{"n", 2}}));

  EXPECT_EQ(std::get<json>(*b_->receive(soon()))["n"], 1);
  EXPECT_EQ(std::get<Blob>(*b_->receive(soon())), (Blob{.name = "pages.img", .size_bytes = big.size()}));
  EXPECT_EQ(std::get<Blob>(*b_->receive(soon())).name, "empty.img");
  EXPECT_EQ(std::get<json>(*b_->receive(soon()))["n"], 2);
  EXPECT_EQ(contents_of(store.files["pages.img"].get()), big);
  EXPECT_EQ(contents_of(store.files["empty.img"].get()), "");
  EXPECT_EQ(b_->receive(Deadline::after(milliseconds(20))).error().code, ETIMEDOUT);
}

TEST_F(Control, ManyThreadsMaySend) {
  open();
  constexpr int each = 200;
  std::vector<std::future<bool>> senders;
  for (int thread = 0; thread < 4; ++thread) {
    senders.push_back(std::async(std::launch::async, [&, thread] {
      for (int i = 0; i < each; ++i) {
        if (!a_->send({{"thread", thread}, {"i", i}, {"pad", std::string(static_cast<size_t>(i), 'p')}})) return false;
      }
      return true;
    }));
  }
  std::array<int, 4> next{};
  for (int i = 0; i < 4 * each; ++i) {
    auto event = b_->receive(soon());
    ASSERT_TRUE(event) << event.error().message;
    const auto& message = std::get<json>(*event);
    EXPECT_EQ(message["i"], next.at(message["thread"].get<size_t>())++);
  }
  for (auto& sender : senders) EXPECT_TRUE(sender.get());
}

TEST_F(Control, QuietPeersStayAlive) {
  const ControlOptions quick{.heartbeat_interval = milliseconds(100), .peer_timeout = milliseconds(1000)};
  open(quick, quick);
  EXPECT_EQ(b_->receive(Deadline::after(milliseconds(2500))).error().code, ETIMEDOUT);
  EXPECT_FALSE(a_->failure());
  EXPECT_FALSE(b_->failure());
  ASSERT_TRUE(a_->send({{"still", "here"}}));
  EXPECT_TRUE(b_->receive(soon()));
}

TEST_F(Control, SilentPeerIsDead) {
  open_raw({.heartbeat_interval = milliseconds(100), .peer_timeout = milliseconds(400)});
  const auto started = Clock::now();
  const auto event = b_->receive(soon());
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, ETIMEDOUT);
  EXPECT_THAT(event.error().message, HasSubstr("nothing heard from node-a for 400 ms"));
  EXPECT_GE(elapsed_ms(started), 300);
  EXPECT_LT(elapsed_ms(started), 5000);
  EXPECT_FALSE(b_->send({{"n", 1}}));
}

TEST_F(Control, WhatArrivedBeforeTheEndIsDelivered) {
  open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(a_->send({{"n", i}}));
  a_->close();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(std::get<json>(*b_->receive(soon()))["n"], i);
  const auto end = b_->receive(soon());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, ECONNRESET);
  EXPECT_THAT(end.error().message, HasSubstr("the peer closed the control channel"));
}

TEST_F(Control, DeadPeerIsNoticedAtOnce) {
  open_raw();
  send_raw(raw_frame(1, 100, "{\"half\":"));
  streams_.client.reset();
  const auto event = b_->receive(soon());
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().code, ECONNRESET);
}

TEST_F(Control, AbortUnblocksReceive) {
  open();
  auto waiting = std::async(std::launch::async, [&] { return b_->receive(Deadline::never()); });
  EXPECT_EQ(waiting.wait_for(milliseconds(50)), std::future_status::timeout);
  b_->abort();
  EXPECT_EQ(waiting.get().error().code, ECONNABORTED);
}

TEST_F(Control, RefusesMalformedFrames) {
  struct Case {
    std::string bytes;
    const char* error;
  };
  const std::string size_of_8 = std::string(7, '\0') + '\x08';
  const std::vector<Case> cases{
      {raw_frame(9, 0, ""), "unknown kind 9"},
      {raw_frame(1, message_bytes_max + 1, ""), "length 4194305"},
      {raw_frame(1, 0xffffffff, ""), "length 4294967295"},
      {raw_frame(1, 4, "null"), "not an object"},
      {raw_frame(1, 5, "{{{{{"), "not JSON"},
      {raw_frame(3, 2, "{}"), "length 2"},
      {raw_frame(2, 13, size_of_8 + "../aa"), "plain file name"},
      {raw_frame(2, 9, std::string("\0\0\0\x7f", 4) + std::string(4, '\0') + "a"), "at most"},
  };
  BlobStore store;
  for (const auto& [bytes, error] : cases) {
    open_raw({.open_blob = store.opener()});
    send_raw(bytes);
    const auto event = b_->receive(soon());
    ASSERT_FALSE(event) << error;
    EXPECT_THAT(event.error().message, HasSubstr(error));
    b_.reset();
    SetUp();
  }
  open_raw();
  send_raw(raw_frame(2, 9, size_of_8 + "a"));
  EXPECT_THAT(error_of(b_->receive(soon())), HasSubstr("not expected here"));
}

TEST_F(Control, ABlobThatShrinksEndsTheConversation) {
  BlobStore store;
  open({}, {.open_blob = store.opener()});
  const UniqueFd file = file_with("short");
  EXPECT_THAT(error_of(a_->send_blob({.name = "a.img", .size_bytes = 10}, file.get())), HasSubstr("shorter than 10"));
  EXPECT_FALSE(a_->send({{"n", 1}}));
  EXPECT_EQ(b_->receive(soon()).error().code, ECONNRESET);
  EXPECT_FALSE(a_->send_blob({.name = "a.img", .size_bytes = uint64_t{1} << 40}, file.get()));
}

TEST_F(Control, UnreadMessagesAreBounded) {
  open({.peer_timeout = milliseconds(1500)}, {.peer_timeout = milliseconds(1500)});
  // Nobody receives: the sender is stopped by back-pressure, not by the receiver's memory.
  const json message{{"text", std::string(1'000'000, 'x')}};
  Result<> sent;
  int count = 0;
  for (; count < 100 && sent; ++count) sent = a_->send(message);
  ASSERT_FALSE(sent);
  EXPECT_LT(count, 60);  // queue and socket buffers
}

}  // namespace
}  // namespace godwit::transfer
