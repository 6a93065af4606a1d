// When to stop copying a running container and freeze it: a pure policy over measured rounds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace godwit::memory {

// One finished round.
struct RoundMeasure {
  uint64_t dirty_bytes = 0;  // found dirty by the round's scan
  uint64_t sent_bytes = 0;   // memory delivered for it, before compression
  double seconds = 0;        // from the scan's beginning to the barrier's end
};

struct ConvergenceOptions {
  uint32_t rounds_max = 30;
  uint64_t dirty_pages_threshold = 0;  // freeze when a round found no more than this; 0: not used
  double requested_freeze_ms = 0;      // freeze when the predicted pause is no longer than this; 0: as short as it gets
  // How long the freeze takes with nothing left to send: metadata dump, restore, address.
  double base_pause_ms = 40;
  enum class Goal : uint8_t {
    freeze_time,  // go on as long as rounds make the pause shorter
    dump_time,    // freeze as soon as the requested pause is reached, or a round brings little
  } goal = Goal::freeze_time;
};

enum class StopReason : uint8_t {
  none,             // go on
  threshold,        // few enough dirty pages
  requested_pause,  // the predicted pause is within what was asked for
  no_gain,          // another round would not shorten the pause worth mentioning
  not_converging,   // memory changes as fast as it is sent
  rounds_max,
};
const char* to_string(StopReason reason);

struct Decision {
  bool stop = false;
  StopReason reason = StopReason::none;
  double predicted_pause_ms = 0;       // if the freeze came now
  uint64_t predicted_dirty_bytes = 0;  // what it would find
  double send_bytes_per_second = 0;
  double dirty_bytes_per_second = 0;
};

// Fed each round in order. Plain data, any thread.
class Convergence {
 public:
  explicit Convergence(const ConvergenceOptions& options) : options_(options) {}

  Decision add(const RoundMeasure& round);
  // Options may change while rounds go on; they count from the next round.
  void set_options(const ConvergenceOptions& options) { options_ = options; }

  [[nodiscard]] const std::vector<RoundMeasure>& rounds() const { return rounds_; }

 private:
  [[nodiscard]] double send_rate() const;
  [[nodiscard]] uint64_t predicted_dirty_bytes() const;
  StopReason judge(const Decision& decision);

  ConvergenceOptions options_;
  std::vector<RoundMeasure> rounds_;
  double best_rest_ms_ = 0;  // the shortest that sending the rest was ever predicted to take
  uint32_t rounds_without_gain_ = 0;
};

}  // namespace godwit::memory
