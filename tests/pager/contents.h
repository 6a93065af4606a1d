// What the pages of the pager's tests hold, as the test that stores them and the guest that checks them both know it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace godwit::pager_test {

constexpr uint64_t page = 4096;
constexpr uint64_t words = page / sizeof(uint64_t);

inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// A page is described by a tag; tag 0 is a page of zeros.
inline uint64_t word_of(uint64_t tag, uint64_t index) {
  return tag == 0 ? 0 : mix(tag ^ (index << 48));
}

inline void fill_page(std::byte* at, uint64_t tag) {
  for (uint64_t i = 0; i < words; ++i) {
    const uint64_t word = word_of(tag, i);
    std::memcpy(at + i * sizeof word, &word, sizeof word);
  }
}

// What the page at an address of the guest held at the source.
inline uint64_t stored_tag(uint64_t seed, uint64_t address) {
  return mix(seed * 31 + address) | 1;
}

// With this seed all pages hold data and came in one round, so that many can be placed in one step.
constexpr uint64_t solid_seed = 0;

enum class Stored { data, zero, absent };
inline Stored stored_kind(uint64_t seed, uint64_t address) {
  if (seed == solid_seed) return Stored::data;
  switch (mix(seed + address * 3) % 16) {
    case 0:
      return Stored::zero;
    case 1:
      return Stored::absent;
    default:
      return Stored::data;
  }
}

inline uint64_t original_tag(uint64_t seed, uint64_t address) {
  return stored_kind(seed, address) == Stored::data ? stored_tag(seed, address) : 0;
}

// Some pages come again in later rounds.
inline uint32_t last_round_of(uint64_t seed, uint64_t address) {
  if (seed == solid_seed) return 1;
  const uint64_t dice = mix(seed * 7 + address) % 32;
  return dice == 0 ? 3 : dice < 4 ? 2 : 1;
}

// Pages that the guest has touched before its memory is served.
inline bool touched_before(uint64_t seed, uint64_t address) {
  return mix(seed * 13 + address) % 13 == 0;
}
constexpr uint64_t touched_tag = 0x7007;

}  // namespace godwit::pager_test
