#include "cli/load_data.h"

#include <algorithm>
#include <cstring>

#include <fmt/core.h>

namespace godwit::cli {

// SplitMix64: https://prng.di.unimi.it/splitmix64.c (public domain)
uint64_t Random::next() {
  uint64_t mixed = (state_ += 0x9e3779b97f4a7c15U);
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9U;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebU;
  return mixed ^ (mixed >> 31);
}

void append_value(std::string& out, uint64_t seed, size_t bytes) {
  Random random(seed);
  const size_t start = out.size();
  out.resize(start + bytes);
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    const uint64_t printable = (random.next() & 0x3f3f3f3f3f3f3f3fU) + 0x3030303030303030U;
    std::memcpy(out.data() + start + at, &printable, std::min(sizeof printable, bytes - at));
  }
}

std::string value_of(uint64_t seed, size_t bytes) {
  std::string value;
  append_value(value, seed, bytes);
  return value;
}

std::string data_key(uint64_t index) {
  return fmt::format("data:{:08x}", index);
}

std::string data_value(uint64_t index) {
  return value_of(index * 2, data_value_bytes);
}

std::string slot_key(uint64_t client, uint64_t slot) {
  return fmt::format("client:{}:{}", client, slot);
}

std::string slot_value(uint64_t client, uint64_t slot, uint64_t version) {
  Random random((client << 48) ^ (slot << 32) ^ version);
  const uint64_t seed = random.next() | 1;  // odd: never a value of the data set
  return value_of(seed, 50 + random.below(950));
}

std::string counter_key(uint64_t client) {
  return fmt::format("client:{}:counter", client);
}

}  // namespace godwit::cli
