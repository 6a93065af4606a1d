// A TCP proxy on the loopback interface that does to connections what networks do: stalls, cuts, slows them down.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace godwit::kube {

enum class Fault {
  none,
  stall,  // connections stay open, nothing passes, new ones are accepted
  cut,    // connections are reset, new ones too
  slow    // 1 KiB every 20 ms in each direction
};

// Owned by a test; serves on a thread of its own.
class FaultProxy {
 public:
  explicit FaultProxy(uint16_t target_port);
  ~FaultProxy();
  FaultProxy(const FaultProxy&) = delete;
  FaultProxy& operator=(const FaultProxy&) = delete;

  [[nodiscard]] uint16_t port() const { return port_; }
  void set(Fault fault) { fault_ = fault; }
  [[nodiscard]] int connections() const { return connections_; }  // accepted so far

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd server;
  };

  void serve();
  void accept_one();
  static bool forward(int from, int to, size_t most);
  static void reset(Pair& pair);

  uint16_t target_port_;
  uint16_t port_ = 0;
  UniqueFd listener_;
  std::vector<Pair> pairs_;
  std::atomic<Fault> fault_ = Fault::none;
  std::atomic<int> connections_ = 0;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

// A socket that listens on the loopback interface, and its port.
UniqueFd listen_on_loopback(uint16_t& port);
UniqueFd connect_to_loopback(uint16_t port);

}  // namespace godwit::kube
