// The demo's clients: N connections to one redis, each a closed loop with one request under way, all in one thread with
// epoll, at a bounded total rate, since a migration needs the processors too. A connection is never made anew: one that
// breaks is what the demo is there to notice.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "cli/load_client.h"
#include "cli/load_window.h"

namespace godwit::cli {

struct LoadOptions {
  size_t clients = 16;
  double rate_per_s = 20000;                        // requests of all clients together
  Clock::duration reply_max = milliseconds(10000);  // a reply that takes longer is lost
  uint64_t data_keys = 0;                           // of the data set, for reading
};
constexpr size_t load_clients_max = 4096;

// Owned and used by one thread, that of the load program.
class LoadEngine {
 public:
  // Connects all clients and begins. `target` is "address:port".
  static Result<LoadEngine> start(const std::string& target, const LoadOptions& options, Deadline deadline);

  // Makes step() return when `fd` is readable too. Once.
  Result<> watch(int fd);
  // Sends what is due and takes what came, once, waiting at most `wait`. True if the watched descriptor is readable.
  Result<bool> step(Clock::duration wait);
  void begin_window();
  // What the clients saw since begin_window().
  WindowReport end_window();
  // Since start().
  [[nodiscard]] WindowReport totals() const { return report_of(total_); }
  // Lets the requests under way end and sends no more.
  Result<> drain(Deadline deadline);
  [[nodiscard]] const std::vector<LoadClient>& clients() const { return logic_; }

 private:
  struct Connection {
    UniqueFd fd;
    ReplyParser parser;
    std::string unsent;
    Clock::time_point due;
    bool under_way = false;
    bool counted_lost = false;
    bool writable_wanted = false;
  };
  struct Due {
    Clock::time_point when;
    size_t client;
    bool operator>(const Due& other) const { return when > other.when; }
  };

  explicit LoadEngine(const LoadOptions& options, Clock::time_point now)
      : options_(options), total_(now, options.clients) {}
  Result<> add_connection(const sockaddr_storage& address, socklen_t length, Deadline deadline);
  void send_due(Clock::time_point now);
  void send_unsent(size_t client);
  void receive(size_t client);
  void on_reply(size_t client, const Reply& reply);
  void broken(size_t client, const std::string& why);
  void look_for_lost(Clock::time_point now);
  [[nodiscard]] bool any_under_way() const;
  [[nodiscard]] WindowReport report_of(const LoadWindow& window) const;
  template <typename Each>
  void each_window(Each each) {
    each(total_);
    if (window_) each(*window_);
  }

  LoadOptions options_;
  Clock::duration interval_{};  // between two requests of one client
  UniqueFd epoll_;
  std::vector<Connection> connections_;
  std::vector<LoadClient> logic_;  // by the same index
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  Clock::time_point next_look_for_lost_;
  bool draining_ = false;
  LoadWindow total_;
  std::optional<LoadWindow> window_;
};

// "address:port" for connect(2).
Result<std::pair<sockaddr_storage, socklen_t>> parse_target(const std::string& target);
// A connected, non-blocking TCP socket without Nagle's delay.
Result<UniqueFd> connect_tcp(const sockaddr_storage& address, socklen_t length, Deadline deadline);

}  // namespace godwit::cli
