// The simulator's dice: everything of a schedule follows from its seed, on every machine and compiler, which
// <random>'s distributions do not promise.
#pragma once

#include <cstdint>

namespace godwit::migration::simulation {

// SplitMix64. Owned by one schedule.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U + 0x1234567U) {}

  uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
    return mixed ^ (mixed >> 31U);
  }
  // Of [0, limit); 0 if limit is 0.
  uint32_t below(uint32_t limit) { return static_cast<uint32_t>(((next() >> 32U) * limit) >> 32U); }
  // Of [low, high].
  int64_t between(int64_t low, int64_t high) { return low + below(static_cast<uint32_t>(high - low + 1)); }
  bool one_in(uint32_t chances) { return below(chances) == 0; }
  bool percent(uint32_t chance) { return below(100) < chance; }

 private:
  uint64_t state_;
};

}  // namespace godwit::migration::simulation
