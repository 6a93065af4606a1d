// What the copied memory holds, and whether it arrived.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "bench/common/workload.h"

namespace godwit::bench {

struct Pattern {
  const char* name;
  const char* description;
  void (*fill)(std::span<std::byte>);
};

// Random bytes; text as a store of small records has it, which compresses; pages that are random and zero by turns of
// some.
extern const std::array<Pattern, 3> patterns;

// Compares what was received for the workload's pages from `address` on with what the workload has there.
Result<> compare_with(const Workload& workload, uint64_t address, std::span<const std::byte> received);

}  // namespace godwit::bench
