#include "transfer/preamble.h"

#include <poll.h>
#include <sys/socket.h>

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "transfer/loopback.h"

namespace godwit::transfer {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

const std::string session = "0123456789abcdef0123456789abcdef";

Deadline soon() {
  return Deadline::after(seconds(5));
}

void send_text(const UniqueFd& socket, const std::string& text) {
  ASSERT_EQ(::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
}

std::string receive_text(const UniqueFd& socket, size_t size) {
  std::string text(size, '\0');
  EXPECT_TRUE(wait_ready(socket.get(), POLLIN, soon(), "test"));
  const ssize_t got = ::recv(socket.get(), text.data(), size, 0);
  text.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return text;
}

TEST(Preamble, EveryRoleGoesThereAndBack) {
  for (const Role role : {Role::control, Role::lane, Role::files, Role::command, Role::query}) {
    const Preamble preamble{.session = session, .role = role};
    std::string line = format_preamble(preamble);
    ASSERT_LE(line.size(), preamble_bytes_max);
    ASSERT_EQ(line.back(), '\n');
    line.pop_back();
    const auto parsed = parse_preamble(line);
    ASSERT_TRUE(parsed) << parsed.error().message;
    EXPECT_EQ(*parsed, preamble);
    EXPECT_EQ(role_by_name(role_name(role)), role);
  }
}

TEST(Preamble, SaysWhatIsWrongWithALine) {
  const auto error_of = [](const std::string& line) {
    const auto parsed = parse_preamble(line);
    return parsed ? std::string("accepted") : parsed.error().message;
  };
  EXPECT_THAT(error_of("GET / HTTP/1.1\r"), HasSubstr("not a Godwit agent: its first line is \"GET / HTTP/1.1?\""));
  EXPECT_THAT(error_of("GODWIT/2 " + session + " lane"), HasSubstr("same version"));
  EXPECT_THAT(error_of("GODWIT/1 " + session.substr(1) + " lane"), HasSubstr("32 hexadecimal"));
  EXPECT_THAT(error_of("GODWIT/1 " + session + "0 lane"), HasSubstr("32 hexadecimal"));
  EXPECT_THAT(error_of("GODWIT/1 0123456789ABCDEF0123456789ABCDEF lane"), HasSubstr("32 hexadecimal"));
  EXPECT_THAT(error_of("GODWIT/1 ../../../../../../../../../etc/xx lane"), HasSubstr("32 hexadecimal"));
  EXPECT_THAT(error_of("GODWIT/1 " + session + " lanes"), HasSubstr("unknown role"));
  EXPECT_THAT(error_of("GODWIT/1 " + session + " lane "), HasSubstr("unknown role"));
  EXPECT_THAT(error_of("GODWIT/1  " + session + " lane"), HasSubstr("32 hexadecimal"));
  EXPECT_THAT(error_of("GODWIT/1 " + session), HasSubstr("unknown role"));
  EXPECT_THAT(error_of(""), HasSubstr("not a Godwit agent"));
}

TEST(Preamble, ReadsNotAByteTooMuch) {
  auto sockets = connect_sockets(soon());
  ASSERT_TRUE(sockets) << sockets.error().message;
  const Preamble preamble{.session = session, .role = Role::lane};
  ASSERT_TRUE(write_preamble(sockets->client.get(), preamble, soon()));
  send_text(sockets->client, "tls begins");
  const auto read = read_preamble(sockets->server.get(), soon());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, preamble);
  EXPECT_EQ(receive_text(sockets->server, 100), "tls begins");
}

TEST(Preamble, MayComeInPieces) {
  auto sockets = connect_sockets(soon());
  ASSERT_TRUE(sockets);
  const std::string line = format_preamble({.session = session, .role = Role::files});
  std::thread sender([&] {
    for (const char byte : line + "x") {
      send_text(sockets->client, std::string(1, byte));
      std::this_thread::sleep_for(milliseconds(1));
    }
  });
  const auto read = read_preamble(sockets->server.get(), soon());
  sender.join();
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->role, Role::files);
  EXPECT_EQ(receive_text(sockets->server, 100), "x");
}

TEST(Preamble, IsBoundedInLengthAndTime) {
  auto long_line = connect_sockets(soon());
  ASSERT_TRUE(long_line);
  send_text(long_line->client, std::string(10'000, 'a'));
  const auto refused = read_preamble(long_line->server.get(), soon());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("longer than 80 bytes"));

  auto slow = connect_sockets(soon());
  ASSERT_TRUE(slow);
  send_text(slow->client, "GODWIT/1");
  const auto timed_out = read_preamble(slow->server.get(), Deadline::after(milliseconds(50)));
  ASSERT_FALSE(timed_out);
  EXPECT_EQ(timed_out.error().code, ETIMEDOUT);

  auto gone = connect_sockets(soon());
  ASSERT_TRUE(gone);
  send_text(gone->client, "GODWIT/1");
  gone->client.reset();
  const auto ended = read_preamble(gone->server.get(), soon());
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message, HasSubstr("closed the connection"));
}

TEST(Tcp, SaysWhyItCannotConnect) {
  uint16_t port = 0;
  {
    const auto listener = Listener::open("127.0.0.1", 0);
    ASSERT_TRUE(listener);
    port = listener->port();
  }
  const auto refused = connect_tcp("127.0.0.1", port, soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ECONNREFUSED);
  EXPECT_THAT(refused.error().message, HasSubstr("is godwit-agent running there?"));
  const auto no_address = connect_tcp("node-b", port, soon());
  ASSERT_FALSE(no_address);
  EXPECT_THAT(no_address.error().message, HasSubstr("not an IPv4 or IPv6 address"));
}

TEST(Tcp, AcceptHasADeadline) {
  auto listener = Listener::open("::1", 0);
  if (!listener) GTEST_SKIP() << "no IPv6 here";
  const auto timed_out = listener->accept(Deadline::after(milliseconds(20)));
  ASSERT_FALSE(timed_out);
  EXPECT_EQ(timed_out.error().code, ETIMEDOUT);
  const auto client = connect_tcp("::1", listener->port(), soon());
  ASSERT_TRUE(client) << client.error().message;
  const auto accepted = listener->accept(soon());
  ASSERT_TRUE(accepted);
  EXPECT_THAT(accepted->peer, testing::StartsWith("[::1]:"));
}

}  // namespace
}  // namespace godwit::transfer
