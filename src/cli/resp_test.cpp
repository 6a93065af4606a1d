#include "cli/resp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace godwit::cli {
namespace {

using ::testing::HasSubstr;

TEST(Resp, Commands) {
  std::string out;
  append_command(out, {"SET", "key", "a\r\nb"});
  EXPECT_EQ(out, "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$4\r\na\r\nb\r\n");
}

// All replies in `bytes`, fed in pieces of `piece` bytes.
Result<std::vector<Reply>> parse(std::string_view bytes, size_t piece) {
  ReplyParser parser;
  std::vector<Reply> replies;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    const std::string_view part = bytes.substr(at, piece);
    parser.feed(part.data(), part.size());
    for (;;) {
      GODWIT_ASSIGN(std::optional<Reply> reply, parser.next());
      if (!reply) break;
      replies.push_back(std::move(*reply));
    }
  }
  if (parser.buffered() != 0) return fail("{} bytes left", parser.buffered());
  return replies;
}

TEST(Resp, RepliesHoweverTheyAreCut) {
  const std::string_view bytes = "+OK\r\n:42\r\n$-1\r\n$5\r\na\r\nbc\r\n-ERR no\r\n:-7\r\n$0\r\n\r\n";
  for (size_t piece = 1; piece <= bytes.size(); ++piece) {
    const Result<std::vector<Reply>> replies = parse(bytes, piece);
    ASSERT_TRUE(replies.has_value()) << replies.error().message;
    ASSERT_EQ(replies->size(), 7U) << "pieces of " << piece;
    EXPECT_EQ((*replies)[0].text, "OK");
    EXPECT_EQ((*replies)[1].integer, 42);
    EXPECT_EQ((*replies)[2].kind, Reply::Kind::null);
    EXPECT_EQ((*replies)[3].text, "a\r\nbc");
    EXPECT_EQ((*replies)[4].kind, Reply::Kind::error);
    EXPECT_EQ((*replies)[5].integer, -7);
    EXPECT_EQ((*replies)[6].kind, Reply::Kind::bulk);
    EXPECT_EQ((*replies)[6].text, "");
  }
}

TEST(Resp, WhatIsNotTheProtocolIsAnError) {
  EXPECT_THAT(parse("OK\r\n", 99).error().message, HasSubstr("begins with"));
  EXPECT_THAT(parse(":4x\r\n", 99).error().message, HasSubstr("not a number"));
  EXPECT_THAT(parse(":\r\n", 99).error().message, HasSubstr("not a number"));
  EXPECT_THAT(parse("$-2\r\n", 99).error().message, HasSubstr("bulk of -2"));
  EXPECT_THAT(parse("$99999999\r\n", 99).error().message, HasSubstr("bulk of 99999999"));
  EXPECT_THAT(parse("$2\r\nabcd\r\n", 99).error().message, HasSubstr("does not end"));
  EXPECT_THAT(parse("\r\n", 99).error().message, HasSubstr("empty"));
  EXPECT_THAT(parse(":" + std::string(5000, '1'), 99999).error().message, HasSubstr("longer than"));
}

}  // namespace
}  // namespace godwit::cli
