#include "cli/load_engine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace godwit::cli {
namespace {

constexpr uint64_t watched_tag = UINT64_MAX;
constexpr milliseconds lost_look_interval{100};
constexpr size_t events_max = 64;

timespec to_timespec(Clock::duration span) {
  const auto ns = std::max<int64_t>(0, std::chrono::nanoseconds(span).count());
  return {ns / 1000000000, ns % 1000000000};
}

}  // namespace

Result<std::pair<sockaddr_storage, socklen_t>> parse_target(const std::string& target) {
  const size_t colon = target.rfind(':');
  uint16_t port = 0;
  if (colon == std::string::npos ||
      std::from_chars(target.data() + colon + 1, target.data() + target.size(), port).ec != std::errc() || port == 0) {
    return fail("'{}' is not address:port", target);
  }
  const std::string host = target.substr(0, colon);
  std::pair<sockaddr_storage, socklen_t> parsed{};
  sockaddr_in v4{};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) != 1) return fail("'{}' is not an IPv4 address", host);
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  std::memcpy(&parsed.first, &v4, sizeof v4);
  parsed.second = sizeof v4;
  return parsed;
}

Result<UniqueFd> connect_tcp(const sockaddr_storage& address, socklen_t length, Deadline deadline) {
  UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno("socket");
  const int one = 1;
  if (::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) return fail_errno("TCP_NODELAY");
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 && errno != EINPROGRESS) {
    return fail_errno("connect");
  }
  pollfd waited{fd.get(), POLLOUT, 0};
  const int ready = ::poll(&waited, 1, deadline.poll_timeout_ms());
  if (ready < 0) return fail_errno("wait for the connection");
  if (ready == 0) return fail("connect: no answer in time");
  socklen_t size = sizeof errno;
  int code = 0;
  if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &code, &size) != 0) return fail_errno("SO_ERROR");
  if (code != 0) {
    errno = code;
    return fail_errno("connect");
  }
  return fd;
}

Result<LoadEngine> LoadEngine::start(const std::string& target, const LoadOptions& options, Deadline deadline) {
  if (options.clients == 0 || options.clients > load_clients_max || !(options.rate_per_s > 0)) {
    return fail("{} clients at {} requests/s is out of range", options.clients, options.rate_per_s);
  }
  GODWIT_ASSIGN(const auto address, parse_target(target));
  LoadEngine engine(options, Clock::now());
  engine.interval_ = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(static_cast<double>(options.clients) / options.rate_per_s));
  engine.epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!engine.epoll_) return fail_errno("epoll_create1");
  for (size_t i = 0; i < options.clients; ++i) {
    if (Result<> added = engine.add_connection(address.first, address.second, deadline); !added) {
      return std::unexpected(std::move(added).error().context(fmt::format("client {} to {}", i, target)));
    }
  }
  // Spread over one interval, so that the clients do not ask in step.
  const Clock::time_point now = Clock::now();
  for (size_t i = 0; i < options.clients; ++i) {
    engine.due_.push({now + engine.interval_ * static_cast<int64_t>(i) / static_cast<int64_t>(options.clients), i});
  }
  engine.total_ = LoadWindow(now, options.clients);
  return engine;
}

Result<> LoadEngine::add_connection(const sockaddr_storage& address, socklen_t length, Deadline deadline) {
  Connection connection;
  GODWIT_ASSIGN(connection.fd, connect_tcp(address, length, deadline));
  const size_t client = connections_.size();
  epoll_event event{.events = EPOLLIN, .data = {.u64 = client}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection.fd.get(), &event) != 0) return fail_errno("epoll_ctl");
  connections_.push_back(std::move(connection));
  logic_.emplace_back(client, options_.data_keys);
  return {};
}

Result<> LoadEngine::watch(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.u64 = watched_tag}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

Result<bool> LoadEngine::step(Clock::duration wait) {
  const Clock::time_point now = Clock::now();
  send_due(now);
  if (now >= next_look_for_lost_) {
    look_for_lost(now);
    next_look_for_lost_ = now + lost_look_interval;
  }
  if (!draining_ && !due_.empty()) wait = std::min(wait, due_.top().when - now);
  std::array<epoll_event, events_max> events;
  const timespec timeout = to_timespec(wait);
  const int count = ::epoll_pwait2(epoll_.get(), events.data(), events.size(), &timeout, nullptr);
  if (count < 0 && errno != EINTR) return fail_errno("epoll_pwait2");
  bool watched_ready = false;
  for (int i = 0; i < count; ++i) {
    const uint64_t tag = events[static_cast<size_t>(i)].data.u64;
    if (tag == watched_tag) {
      watched_ready = true;
      continue;
    }
    Connection& connection = connections_[tag];
    if (connection.fd && (events[static_cast<size_t>(i)].events & EPOLLOUT) != 0) send_unsent(tag);
    if (connection.fd && (events[static_cast<size_t>(i)].events & ~EPOLLOUT) != 0) receive(tag);
  }
  return watched_ready;
}

void LoadEngine::send_due(Clock::time_point now) {
  while (!draining_ && !due_.empty() && due_.top().when <= now) {
    const Due due = due_.top();
    due_.pop();
    Connection& connection = connections_[due.client];
    if (!connection.fd) continue;
    connection.due = due.when;
    connection.under_way = true;
    connection.counted_lost = false;
    logic_[due.client].next_request(connection.unsent);
    send_unsent(due.client);
  }
}

void LoadEngine::send_unsent(size_t client) {
  Connection& connection = connections_[client];
  const ssize_t sent =
      ::send(connection.fd.get(), connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return broken(client, std::strerror(errno));
  if (sent > 0) connection.unsent.erase(0, static_cast<size_t>(sent));
  const bool wanted = !connection.unsent.empty();
  if (wanted == connection.writable_wanted) return;
  connection.writable_wanted = wanted;
  epoll_event event{.events = EPOLLIN | (wanted ? EPOLLOUT : 0U), .data = {.u64 = client}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd.get(), &event) != 0) broken(client, std::strerror(errno));
}

void LoadEngine::receive(size_t client) {
  Connection& connection = connections_[client];
  std::array<char, 16384> chunk;
  const ssize_t got = ::recv(connection.fd.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return broken(client, std::strerror(errno));
  if (got == 0) return broken(client, "closed by the server");
  connection.parser.feed(chunk.data(), static_cast<size_t>(got));
  for (;;) {
    Result<std::optional<Reply>> reply = connection.parser.next();
    if (!reply) {
      each_window([&](LoadWindow& window) {
        window.on_reordered(fmt::format("client {}: {}", client, reply.error().message));
      });
      return broken(client, "its bytes are not the redis protocol");
    }
    if (!*reply) return;
    on_reply(client, **reply);
  }
}

void LoadEngine::on_reply(size_t client, const Reply& reply) {
  Connection& connection = connections_[client];
  if (!connection.under_way) {
    return each_window([&](LoadWindow& window) {
      window.on_reordered(fmt::format("client {}: a reply came that nothing asked for", client));
    });
  }
  connection.under_way = false;
  const Clock::time_point now = Clock::now();
  const std::string problem = logic_[client].judge(reply);
  each_window([&](LoadWindow& window) {
    window.on_reply(client, elapsed_ms(std::max(connection.due, window.began()), now));
    if (!problem.empty()) window.on_reordered(problem);
  });
  due_.push({std::max(now, connection.due + interval_), client});
}

void LoadEngine::broken(size_t client, const std::string& why) {
  Connection& connection = connections_[client];
  const std::string problem = fmt::format("client {}: connection broken: {}", client, why);
  each_window([&](LoadWindow& window) {
    window.on_reset(problem);
    if (connection.under_way && !connection.counted_lost) window.on_lost(problem);
  });
  connection.under_way = false;
  connection.fd.reset();  // leaves the epoll set with it
}

void LoadEngine::look_for_lost(Clock::time_point now) {
  for (size_t client = 0; client < connections_.size(); ++client) {
    Connection& connection = connections_[client];
    if (!connection.under_way || connection.counted_lost || now - connection.due < options_.reply_max) continue;
    connection.counted_lost = true;
    each_window([&](LoadWindow& window) {
      window.on_lost(fmt::format("client {}: no reply in {:.0f} s", client, elapsed_ms(connection.due, now) / 1000));
    });
  }
}

void LoadEngine::begin_window() {
  window_.emplace(Clock::now(), connections_.size());
}

WindowReport LoadEngine::end_window() {
  if (!window_) return {};
  WindowReport report = report_of(*window_);
  window_.reset();
  return report;
}

WindowReport LoadEngine::report_of(const LoadWindow& window) const {
  const Clock::time_point now = Clock::now();
  LoadWindow with_waits = window;
  for (size_t client = 0; client < connections_.size(); ++client) {
    const Connection& connection = connections_[client];
    if (connection.under_way) {
      with_waits.on_wait(client, elapsed_ms(std::max(connection.due, window.began()), now));
    }
  }
  return with_waits.report(now);
}

bool LoadEngine::any_under_way() const {
  for (const Connection& connection : connections_) {
    if (connection.under_way && connection.fd) return true;
  }
  return false;
}

Result<> LoadEngine::drain(Deadline deadline) {
  draining_ = true;
  while (any_under_way()) {
    if (deadline.expired()) return fail("some requests are still unanswered");
    GODWIT_TRY(step(lost_look_interval));
  }
  return {};
}

}  // namespace godwit::cli
