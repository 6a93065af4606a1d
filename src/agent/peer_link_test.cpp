// The control connection between two workers, over real TLS, with a peer that does as it likes.
#include "agent/peer_link.h"

#include <condition_variable>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/file.h"
#include "transfer/loopback.h"

namespace godwit::agent {
namespace {

using migration::MessageKind;
using nlohmann::json;
using testing::HasSubstr;

constexpr uint32_t frame_message = 1;
constexpr uint32_t frame_image = 2;
constexpr uint32_t frame_note = 4;

Deadline soon() {
  return Deadline::after(std::chrono::seconds(10));
}

// A link, and the stream of its peer.
class PeerLinkTest : public testing::Test {
 protected:
  void SetUp() override {
    link_.reset();
    lost_.reset();
    auto authority = transfer::Authority::create();
    ASSERT_TRUE(authority) << authority.error().message;
    authority_.emplace(std::move(*authority));
    const auto a = authority_->identity("node-a");
    const auto b = authority_->identity("node-b");
    ASSERT_TRUE(a && b);
    auto streams = transfer::connect_streams(*a, *b, soon());
    ASSERT_TRUE(streams) << streams.error().message;
    peer_ = std::move(streams->client);
    images_ = authority_->path("images");
    ASSERT_TRUE(os::make_directories(images_));
    link_ = PeerLink::start(std::move(streams->server),
                            {.message =
                                 [this](const PeerMessage& message) {
                                   const std::lock_guard lock(mutex_);
                                   messages_.push_back(message);
                                   changed_.notify_all();
                                 },
                             .note =
                                 [this](const std::string&, uint64_t) {
                                   const std::lock_guard lock(mutex_);
                                   ++notes_;
                                   changed_.notify_all();
                                 },
                             .lost =
                                 [this](const std::string& reason) {
                                   const std::lock_guard lock(mutex_);
                                   lost_ = reason;
                                   changed_.notify_all();
                                 }},
                            images_);
  }

  // False if the link has given up already.
  bool send(uint32_t type, const std::string& contents) {
    const uint32_t head[2] = {type, static_cast<uint32_t>(contents.size())};
    return peer_->write(head, sizeof head) && peer_->write(contents.data(), contents.size()) && peer_->flush();
  }
  template <typename Condition>
  bool wait_for(Condition condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, soon().when(), condition);
  }
  std::string lost_reason() {
    wait_for([this] { return lost_.has_value(); });
    const std::lock_guard lock(mutex_);
    return lost_.value_or("it still lives");
  }

  std::optional<transfer::Authority> authority_;
  std::string images_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<PeerMessage> messages_;
  size_t notes_ = 0;
  std::optional<std::string> lost_;
  std::unique_ptr<transfer::TlsStream> peer_;
  std::unique_ptr<PeerLink> link_;
};

std::string image(const std::string& name, const std::string& contents) {
  const auto size = static_cast<uint16_t>(name.size());
  return std::string(reinterpret_cast<const char*>(&size), sizeof size) + name + contents;
}

TEST_F(PeerLinkTest, CarriesMessagesNotesAndImagesInOrder) {
  send(frame_image, image("core-1.img", "abc"));
  send(frame_note, R"({"note":"round","value":2})");
  send(frame_message, R"({"message":"restore","epoch":3,"more":[1]})");
  ASSERT_TRUE(wait_for([this] { return !messages_.empty(); }));
  EXPECT_EQ(notes_, 1U);
  EXPECT_EQ(messages_[0].message.kind, MessageKind::restore);
  EXPECT_EQ(messages_[0].message.epoch, 3U);
  EXPECT_EQ(messages_[0].body["more"][0], 1);
  EXPECT_EQ(os::read_file(images_ + "/core-1.img").value(), "abc");
}

TEST_F(PeerLinkTest, TextThatIsNoUtf8IsSentAllTheSame) {
  link_->send({.message = {.kind = MessageKind::refused, .epoch = 1}, .body = {{"reason", "file \xff\xfe"}}});
  const auto received = receive_message(*peer_, soon());
  ASSERT_TRUE(received) << received.error().message;
  EXPECT_THAT(received->body["reason"].get<std::string>(), HasSubstr("file "));
}

TEST_F(PeerLinkTest, ImagesStayInTheirDirectory) {
  for (const char* name : {"../x", "a/b", ".hidden", "/x"}) {
    SetUp();
    send(frame_image, image(name, "x"));
    EXPECT_THAT(lost_reason(), HasSubstr("the peer sent an image named"));
    EXPECT_TRUE(std::filesystem::is_empty(images_));
    EXPECT_FALSE(os::exists(authority_->path("x")));
  }
}

TEST_F(PeerLinkTest, MalformedFramesEndTheLink) {
  const std::vector<std::pair<uint32_t, std::string>> frames{{0, ""},
                                                             {9, ""},
                                                             {3, "x"},
                                                             {frame_message, "{"},
                                                             {frame_message, "[]"},
                                                             {frame_message, R"({"message":"go"})"},
                                                             {frame_message, R"({"message":7,"epoch":1})"},
                                                             {frame_message, R"({"message":"stay","epoch":1})"},
                                                             {frame_note, R"({"note":"round","value":-1})"},
                                                             {frame_note, R"({"note":[],"value":1})"},
                                                             {frame_image, "x"},
                                                             {frame_image, image("", "x")}};
  for (const auto& [type, contents] : frames) {
    SetUp();
    send(type, contents);
    EXPECT_THAT(lost_reason(), HasSubstr("the peer sent")) << type << " " << contents;
    EXPECT_TRUE(messages_.empty());
  }
}

// Copying such a value would end the worker.
TEST_F(PeerLinkTest, DeepNestingEndsTheLink) {
  const size_t depth = 1'000'000;
  send(frame_message,
       R"({"message":"prepare","epoch":0,"x":)" + std::string(depth, '[') + std::string(depth, ']') + "}");
  EXPECT_THAT(lost_reason(), HasSubstr("not a JSON object"));
}

TEST_F(PeerLinkTest, AFloodOfMessagesEndsTheLink) {
  for (size_t i = 0; i <= messages_max; ++i) send(frame_message, R"({"message":"go","epoch":1})");
  EXPECT_THAT(lost_reason(), HasSubstr("more than 1000 messages"));
  EXPECT_EQ(messages_.size(), messages_max);
}

TEST_F(PeerLinkTest, AnOversizedFrameEndsTheLinkBeforeItIsRead) {
  const uint32_t head[2] = {frame_message, static_cast<uint32_t>(message_bytes_max) + 1};
  ASSERT_TRUE(peer_->write(head, sizeof head));
  ASSERT_TRUE(peer_->flush());
  EXPECT_THAT(lost_reason(), HasSubstr("a control frame of 8388609 bytes"));
}

}  // namespace
}  // namespace godwit::agent
