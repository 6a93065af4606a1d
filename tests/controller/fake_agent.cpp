#include "fake_agent.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "agent/fence.h"
#include "agent/remote_command.h"
#include "transfer/preamble.h"

namespace godwit::controller {
namespace {

using agent::ResultEvent;

constexpr auto step_time = std::chrono::seconds(10);
constexpr auto poll = milliseconds(20);

std::string address_of(int socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return "";
  return ::inet_ntoa(address.sin_addr);
}

Result<> send(transfer::TlsStream& stream, const agent::Event& event) {
  const std::string line = agent::encode_event(event) + "\n";
  GODWIT_TRY(stream.write(line.data(), line.size()));
  return stream.flush();
}

Result<std::string> read_line(transfer::TlsStream& stream) {
  std::string line;
  for (char byte = 0;;) {
    GODWIT_ASSIGN(const size_t got, stream.read_some(&byte, 1, Deadline::after(step_time)));
    if (got == 0) return fail("it ended early");
    if (byte == '\n') return line;
    line += byte;
  }
}

}  // namespace

FakeAgents::FakeAgents(const transfer::Authority& authority) : authority_(authority) {
  auto listener = transfer::Listener::open("0.0.0.0", agent::agent_port);
  EXPECT_TRUE(listener.has_value()) << listener.error().message;
  listener_.emplace(*std::move(listener));
  thread_ = std::thread([this] { accept_all(); });
}

FakeAgents::~FakeAgents() {
  stop_ = true;
  thread_.join();
  while (serving_ > 0) std::this_thread::sleep_for(poll);
}

void FakeAgents::answer(const std::string& node, const std::string& address) {
  const std::lock_guard lock(mutex_);
  nodes_[address] = node;
  if (identities_.contains(node)) return;
  auto identity = authority_.identity(node);
  ASSERT_TRUE(identity.has_value()) << identity.error().message;
  identities_.emplace(node, *std::move(identity));
}

void FakeAgents::fall_silent(const std::string& address) {
  const std::lock_guard lock(mutex_);
  nodes_.erase(address);
}

std::optional<transfer::TlsIdentity> FakeAgents::identity_at(int socket) const {
  const std::lock_guard lock(mutex_);
  const auto node = nodes_.find(address_of(socket));
  return node == nodes_.end() ? std::nullopt : std::optional(identities_.at(node->second));
}

void FakeAgents::accept_all() {
  while (!stop_) {
    auto connection = listener_->accept(Deadline::after(milliseconds(100)));
    if (!connection) continue;
    ++serving_;
    std::thread([this, fd = connection->socket.release()] {
      serve(UniqueFd(fd));
      --serving_;
    }).detach();
  }
}

// A node without an agent: the connection is closed at once.
void FakeAgents::serve(UniqueFd socket) {
  const auto identity = identity_at(socket.get());
  if (!identity) return;
  const auto preamble = transfer::read_preamble(socket.get(), Deadline::after(step_time));
  if (!preamble) return;
  auto stream = transfer::TlsStream::accept(std::move(socket), *identity, Deadline::after(step_time),
                                            transfer::tls_purpose(*preamble));
  if (!stream) return;
  EXPECT_EQ((*stream)->peer_name(), agent::controller_name);
  EXPECT_EQ(preamble->role, transfer::Role::command);
  const auto first = read_line(**stream);
  if (!first) return;
  EXPECT_TRUE(agent::parse_fence(*first)) << *first;
  const auto line = read_line(**stream);
  if (!line) return;
  const auto request = agent::decode_request(*line);
  ASSERT_TRUE(request.has_value()) << request.error().message;
  // The other side may go away at any time.
  if (answer_request(**stream, *request)) (void)(*stream)->close();
}

Result<> FakeAgents::answer_request(transfer::TlsStream& stream, const agent::Request& request) {
  if (const auto* order = std::get_if<agent::MigrateRequest>(&request)) return migrate(stream, *order);
  if (const auto* wanted = std::get_if<agent::CancelRequest>(&request)) return send(stream, cancel(wanted->session));
  if (const auto* asked = std::get_if<agent::InspectRequest>(&request)) {
    std::optional<Session> session;
    {
      const std::lock_guard lock(mutex_);
      const auto at = sessions_.find(asked->session);
      if (at != sessions_.end() && !overlook_.exchange(false)) session = at->second;
    }
    if (!session) return send(stream, ResultEvent{.reason = "there is no session " + asked->session});
    for (const agent::Event& event : session->events) GODWIT_TRY(send(stream, event));
    return send(stream, session->result.value_or(ResultEvent{.unknown = true, .session = asked->session}));
  }
  if (const auto* changed = std::get_if<agent::ReconfigureRequest>(&request)) {
    const std::lock_guard lock(mutex_);
    const auto session = sessions_.find(changed->session);
    if (session == sessions_.end()) return send(stream, ResultEvent{.reason = "there is no such session"});
    new_options_ = changed->options;
    return send(stream, ResultEvent{.ok = true, .session = changed->session});
  }
  if (std::holds_alternative<agent::AddressesRequest>(request)) {
    GODWIT_TRY(send(stream, agent::AddressesEvent{}));
    return send(stream, ResultEvent{.ok = true});
  }
  ++questions_;
  GODWIT_TRY(send(stream, agent::SessionsEvent{}));
  return send(stream, ResultEvent{.ok = true});
}

Result<> FakeAgents::migrate(transfer::TlsStream& stream, const agent::MigrateRequest& request) {
  ++orders_;
  Session begun;
  begun.events = {agent::SessionEvent{.session = request.session, .container = request.container},
                  agent::PhaseEvent{.phase = agent::Phase::pre_copy},
                  agent::RoundEvent{.round = 1, .dirty_pages = 1000, .bytes = 4096000, .seconds = 0.5},
                  agent::RoundEvent{.round = 2, .dirty_pages = 10, .bytes = 40960, .seconds = 0.1}};
  {
    const std::lock_guard lock(mutex_);
    if (!sessions_.emplace(request.session, begun).second) {
      return send(stream, ResultEvent{.reason = "session " + request.session + " exists already"});
    }
  }
  for (const agent::Event& event : begun.events) GODWIT_TRY(send(stream, event));
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      const auto session = sessions_.find(request.session);
      if (session == sessions_.end()) return fail("it was forgotten");
      if (session->second.result) return send(stream, *session->second.result);
    }
    if (stop_) return fail("the test is over");
    std::this_thread::sleep_for(poll);
  }
}

ResultEvent FakeAgents::cancel(const std::string& id) {
  ++cancellations_;
  const std::lock_guard lock(mutex_);
  const auto session = sessions_.find(id);
  if (session == sessions_.end()) return {.reason = "there is no session " + id};
  if (session->second.result) return {.reason = "session " + id + " has ended already"};
  if (!handed_over_) session->second.result = ResultEvent{.session = id, .reason = "cancelled by the operator"};
  return {.ok = true, .session = id};
}

void FakeAgents::finish(const std::string& session, ResultEvent result) {
  const std::lock_guard lock(mutex_);
  result.session = session;
  sessions_.at(session).result = std::move(result);
}

void FakeAgents::forget() {
  const std::lock_guard lock(mutex_);
  sessions_.clear();
}

std::optional<agent::MigrateOptions> FakeAgents::new_options() const {
  const std::lock_guard lock(mutex_);
  return new_options_;
}

std::vector<std::string> FakeAgents::sessions() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> all;
  for (const auto& [id, session] : sessions_) all.push_back(id);
  return all;
}

}  // namespace godwit::controller
