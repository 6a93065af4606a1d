// What one client of the demo asks and what it must be answered: a counter of its own that every INCR must bring one
// further, keys of its own whose values are read back, and keys of the data set. No I/O here: bytes are the engine's.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "cli/load_data.h"
#include "cli/resp.h"

namespace godwit::cli {

// Owned by the engine, used by its thread. One request at a time: next_request(), then judge() its reply.
class LoadClient {
 public:
  static constexpr uint64_t slots = 256;  // keys of its own

  LoadClient(uint64_t number, uint64_t data_keys) : number_(number), data_keys_(data_keys), random_(number) {}

  // Appends the next request to `out`.
  void next_request(std::string& out);
  // Empty if it is what the last request must be answered; else what is wrong, in words.
  std::string judge(const Reply& reply);

  [[nodiscard]] uint64_t number() const { return number_; }
  // What must be in redis now, if no request is under way: counter, and how often each slot was written.
  [[nodiscard]] int64_t counter() const { return counter_; }
  [[nodiscard]] const std::array<uint64_t, slots>& versions() const { return versions_; }

 private:
  enum class Asked { increment, set, get_own, get_data };

  uint64_t number_;
  uint64_t data_keys_;
  Random random_;
  int64_t counter_ = 0;
  std::array<uint64_t, slots> versions_{};
  Asked asked_ = Asked::increment;
  uint64_t slot_ = 0;
  uint64_t data_index_ = 0;
};

}  // namespace godwit::cli
