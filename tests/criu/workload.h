// What workload.cpp and the tests agree on.
#pragma once

#include <cstdint>

inline constexpr uint64_t counters_at = 0x10000000;
inline constexpr uint16_t workload_port = 7000;
