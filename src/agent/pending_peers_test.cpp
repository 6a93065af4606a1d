#include "agent/pending_peers.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include "transfer/tcp.h"

namespace godwit::agent {
namespace {

// A listener and connections to it from addresses of the loopback network.
class PendingPeersTest : public testing::Test {
 protected:
  struct Ends {
    UniqueFd client;
    UniqueFd server;
  };

  void SetUp() override {
    auto opened = transfer::Listener::open("127.0.0.1", 0);
    ASSERT_TRUE(opened.has_value()) << opened.error().message;
    listener_.emplace(std::move(*opened));
  }

  Ends connect_from(const char* address) {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    ::inet_pton(AF_INET, address, &from.sin_addr);
    sockaddr_in to = from;
    ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    to.sin_port = htons(listener_->port());
    UniqueFd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(client.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
    EXPECT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    auto accepted = listener_->accept(Deadline::after(std::chrono::seconds(5)));
    EXPECT_TRUE(accepted.has_value()) << accepted.error().message;
    return {.client = std::move(client), .server = accepted ? std::move(accepted->socket) : UniqueFd()};
  }

  // Of the pending side: whoever reads it is told at once.
  static bool ended(const Ends& ends) {
    pollfd ready{ends.server.get(), POLLIN, 0};
    return ::poll(&ready, 1, 0) == 1;
  }

  PendingPeers::Place enter(PendingPeers& peers, const Ends& ends) {
    auto place = peers.enter(ends.server.get());
    EXPECT_TRUE(place.has_value()) << place.error().message;
    return std::move(*place);
  }

  std::optional<transfer::Listener> listener_;
};

TEST_F(PendingPeersTest, OneAddressEndsItsOwnOldestBeyondItsShare) {
  PendingPeers peers({.total = 10, .per_address = 2});
  std::vector<Ends> ends;
  std::vector<PendingPeers::Place> places;
  for (const char* address : {"127.0.0.3", "127.0.0.2", "127.0.0.2", "127.0.0.2"}) {
    ends.push_back(connect_from(address));
    places.push_back(enter(peers, ends.back()));
  }
  EXPECT_FALSE(ended(ends[0])) << "another address has paid for it";
  EXPECT_TRUE(ended(ends[1]));
  EXPECT_FALSE(ended(ends[2]));
  EXPECT_FALSE(ended(ends[3])) << "the newest was kept out";
  EXPECT_EQ(peers.size(), 3U);
}

TEST_F(PendingPeersTest, WithoutRoomTheAddressThatHasTheMostPays) {
  PendingPeers peers({.total = 4, .per_address = 3});
  std::vector<Ends> ends;
  std::vector<PendingPeers::Place> places;
  for (const char* address : {"127.0.0.3", "127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.4"}) {
    ends.push_back(connect_from(address));
    places.push_back(enter(peers, ends.back()));
  }
  EXPECT_FALSE(ended(ends[0])) << "the oldest of all has paid, though its address has only one";
  EXPECT_TRUE(ended(ends[1]));
  EXPECT_FALSE(ended(ends[4]));
}

TEST_F(PendingPeersTest, WhoHasShownACertificateIsNotEnded) {
  PendingPeers peers({.total = 1, .per_address = 1});
  const Ends first = connect_from("127.0.0.2");
  PendingPeers::Place place = enter(peers, first);
  place.leave();
  EXPECT_EQ(peers.size(), 0U);
  const Ends second = connect_from("127.0.0.2");
  {
    const PendingPeers::Place other = enter(peers, second);
    EXPECT_EQ(peers.size(), 1U);
  }
  EXPECT_EQ(peers.size(), 0U) << "a place outlives its connection";
  EXPECT_FALSE(ended(first));
  EXPECT_FALSE(ended(second));
}

}  // namespace
}  // namespace godwit::agent
