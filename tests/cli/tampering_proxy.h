// A TCP proxy between the demo's clients and a real redis that does, once and when told, what a broken migration could
// do to a connection. For tests.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::cli {

enum class Tamper {
  none,
  skip_count,  // an INCR's reply is one too high, as if a request had been answered twice
  swallow,     // a reply is never delivered
  repeat,      // a reply is delivered twice
  garble,      // a byte within a value is another
  hold,        // nothing is delivered to anyone for hold_ms
  reset,       // a client's connection is reset
  close        // a client's connection is closed
};

// Owned by a test; serves on a thread of its own, in network namespace `netns_path`.
class TamperingProxy {
 public:
  static constexpr int hold_ms = 150;

  TamperingProxy(std::string netns_path, uint16_t port, uint16_t redis_port);
  ~TamperingProxy();
  TamperingProxy(const TamperingProxy&) = delete;
  TamperingProxy& operator=(const TamperingProxy&) = delete;

  // Does `what` at the next occasion.
  void tamper(Tamper what) { next_ = what; }
  [[nodiscard]] bool tampered() const { return next_ == Tamper::none; }
  // Waits until it serves.
  Result<> wait_until_ready(Deadline deadline) const;

 private:
  struct Connection {
    UniqueFd client;
    UniqueFd redis;
  };

  void run();
  Result<> serve();
  void accept_one(int listener);
  void forward(int from, int to) const;
  void deliver(Connection& connection);
  // True if the reply is to be delivered as `reply` now says.
  bool change(std::string& reply, Connection& connection);

  std::string netns_path_;
  uint16_t port_;
  uint16_t redis_port_;
  std::atomic<Tamper> next_ = Tamper::none;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> ready_ = false;
  std::vector<Connection> connections_;
  std::thread thread_;
};

}  // namespace godwit::cli
