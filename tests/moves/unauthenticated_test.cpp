// Whoever reaches an agent's port without a certificate cannot keep real migrations out, however many connections they
// hold open.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/session_directory.h"
#include "fault_fixture.h"
#include "network/namespace_socket.h"
#include "transfer/preamble.h"

namespace godwit::moves {
namespace {

using testing::HasSubstr;

class UnauthenticatedTest : public FaultTest {
 protected:
  // A connection from outside to the agent of node 2 that has said `words` and says nothing more.
  void open_silent(const std::string& words) {
    auto socket = network::socket_in(nodes().outside().netns_path(), AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_TRUE(socket.has_value()) << socket.error().message;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(agent::agent_port);
    ASSERT_EQ(::inet_pton(AF_INET, nodes().node(2).address().c_str(), &to.sin_addr), 1);
    ASSERT_EQ(::connect(socket->get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0) << std::strerror(errno);
    if (!words.empty()) {
      ASSERT_EQ(::send(socket->get(), words.data(), words.size(), MSG_NOSIGNAL), static_cast<ssize_t>(words.size()));
    }
    silent_.push_back(std::move(*socket));
  }
  void open_silent_sessions(int count, transfer::Role role) {
    for (int i = 0; i < count; ++i) {
      const auto id = agent::SessionDirectory::new_id();
      ASSERT_TRUE(id.has_value()) << id.error().message;
      open_silent(transfer::format_preamble({.session = *id, .role = role}));
    }
  }

  std::vector<UniqueFd> silent_;
};

// Twice as many as the node takes sessions, still in their handshake when the real one comes.
TEST_F(UnauthenticatedTest, SessionsThatShowNoCertificateDoNotCountAsTheNodes) {
  make_counter(1);
  open_silent_sessions(32, transfer::Role::control);
  expect_moves(1, 2);
  std::string left;
  const Deadline deadline = Deadline::after(settle_time);
  do {
    std::this_thread::sleep_for(milliseconds(100));
    left.clear();
    for (const agent::SessionInfo& session : nodes().sessions(2)) left += session.container.empty() ? "x" : "";
  } while (!left.empty() && !deadline.expired());
  EXPECT_EQ(left, "") << "sessions that nobody had authenticated were left";
}

TEST_F(UnauthenticatedTest, ConnectionsThatSayNothingKeepNobodyOut) {
  make_counter(1);
  for (int i = 0; i < 150; ++i) open_silent("");
  expect_moves(1, 2);
}

// A source that has no answer asks on a connection of its own: that must get through too.
TEST_F(UnauthenticatedTest, QuestionsThatShowNoCertificateKeepNobodyOut) {
  make_counter(1);
  open_silent_sessions(40, transfer::Role::query);
  open_silent_sessions(100, transfer::Role::control);
  expect_moves(1, 2);
}

TEST_F(UnauthenticatedTest, TheLimitOfSessionsHoldsForThoseWhoShowACertificateAndTheyAreToldSo) {
  make_counter(1);
  ASSERT_TRUE(nodes().kill_agent(2).has_value());
  ASSERT_TRUE(nodes().start_agent(2, {"--sessions-max", "1"}).has_value());
  const auto move = begin_until(agent::Phase::pre_copy, 1, 2);
  ASSERT_NE(move, nullptr);
  const auto made =
      nodes().node(1).make_container({.name = "second", .args = {"/bin/sleep", "1000"}, .address = "10.88.1.10/16"});
  ASSERT_TRUE(made.has_value()) << made.error().message;
  const auto refused = nodes().move("second", 1, 2);
  ASSERT_TRUE(refused.has_value()) << refused.error().message;
  expect_reason(*refused, {"1 sessions are running on node node-2, which is its limit"});
  EXPECT_EQ(nodes().state_of("second", 1), "running");
  EXPECT_TRUE(nodes().cancel(1, move->session()).has_value());
  ASSERT_TRUE(move->result().has_value());
  expect_moves(1, 2);
}

}  // namespace
}  // namespace godwit::moves
