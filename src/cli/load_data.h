// What the demo puts into redis and expects to find there: every value follows from its name, so that all of it can be
// checked at the end without a copy.
#pragma once

#include <cstdint>
#include <string>

namespace godwit::cli {

constexpr size_t data_value_bytes = 2000;

// Pseudo-random printable bytes, different for each seed; a compressor finds nothing repeated in them.
void append_value(std::string& out, uint64_t seed, size_t bytes);
std::string value_of(uint64_t seed, size_t bytes);

// The data set that is there before the clients come.
std::string data_key(uint64_t index);
std::string data_value(uint64_t index);

// What client `client` writes to its key `slot` the `version`th time.
std::string slot_key(uint64_t client, uint64_t slot);
std::string slot_value(uint64_t client, uint64_t slot, uint64_t version);
std::string counter_key(uint64_t client);

// Small, fast and reproducible; not for secrets. One thread.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next();
  uint64_t below(uint64_t bound) { return next() % bound; }

 private:
  uint64_t state_;
};

}  // namespace godwit::cli
