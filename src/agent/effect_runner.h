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

  // `effect` gets a function that says whether it is still the newest. An order with the `repeat_key` (not 0) of the
  // newest one, which is under way, changes nothing: it is a retry of what only takes long.
  void run(std::function<void(const Current&)> effect, int repeat_key = 0) {
    if (under_way(repeat_key)) return;
    const uint64_t mine = ++newest_;
    under_way_ = repeat_key;
    thread_ = std::thread([this, mine, effect = std::move(effect), before = std::move(thread_)]() mutable {
      if (before.joinable()) before.join();
      const Current current = [this, mine] { return newest_.load() == mine; };
      effect(current);
      if (current()) under_way_ = 0;
    });
  }
  [[nodiscard]] bool under_way(int repeat_key) const { return repeat_key != 0 && under_way_ == repeat_key; }
  // From now on no effect is the newest.
  void disown() {
    ++newest_;
    under_way_ = 0;
  }
  void wait() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  std::atomic<uint64_t> newest_{0};
  std::atomic<int> under_way_{0};  // the newest effect's repeat key
  std::thread thread_;
};

}  // namespace godwit::agent
