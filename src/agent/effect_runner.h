#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

namespace godwit::agent {

// Runs a machine's effects, one at a time, beside the worker's main thread: an effect begins when the one before it has
// returned. What an effect reports after a newer one was asked for is void: `current` tells it so. Owned and called by
// the main thread.
class EffectRunner {
 public:
  using Current = std::function<bool()>;

  ~EffectRunner() { wait(); }

  // `effect` gets a function that says whether it is still the newest.
  void run(std::function<void(const Current&)> effect) {
    const uint64_t mine = ++newest_;
    thread_ = std::thread([this, mine, effect = std::move(effect), before = std::move(thread_)]() mutable {
      if (before.joinable()) before.join();
      effect([this, mine] { return newest_.load() == mine; });
    });
  }
  // From now on no effect is the newest.
  void disown() { ++newest_; }
  void wait() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<uint64_t> newest_{0};
  std::thread thread_;
};

}  // namespace godwit::agent
