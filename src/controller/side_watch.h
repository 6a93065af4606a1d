// While an agent carries an order out: looks whether it has become pointless, for reasons that the agent cannot know.
#pragma once

#include <chrono>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

namespace godwit::controller {

// Owns a thread from its construction to its end; both functions are called on it.
class SideWatch {
 public:
  // What makes the order pointless, in words; nothing: go on, also if it cannot be known at the moment.
  using Look = std::function<std::optional<std::string>(const std::stop_token& stop)>;

  // `look` is called at that interval until it finds something, then `found` until it returns true.
  SideWatch(std::chrono::milliseconds interval, Look look, std::function<bool()> found);
  ~SideWatch() = default;
  SideWatch(const SideWatch&) = delete;
  SideWatch& operator=(const SideWatch&) = delete;

  [[nodiscard]] std::optional<std::string> finding() const;

 private:
  void run(std::chrono::milliseconds interval, const std::stop_token& stop);

  const Look look_;
  const std::function<bool()> found_;
  mutable std::mutex mutex_;
  std::optional<std::string> finding_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace godwit::controller
