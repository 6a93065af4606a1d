// Quantities as people write and read them: sizes, rates and durations of the command line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::cli {

// "1GiB", "512 MiB", "1.5G" (K, M, G and T alone are powers of 1024), "200MB" (powers of 1000), "4096". Not 0.
Result<uint64_t> parse_size_bytes(std::string_view text);
// "1Gbit/s", "100Mbit", "200MB/s", "1.5 GiB/s": bits or bytes must be said. In bytes a second; not 0.
Result<uint64_t> parse_rate_bytes_per_s(std::string_view text);
// "40ms", "1.5s", "5m", "2h": the unit must be said. Not 0.
Result<double> parse_duration_ms(std::string_view text);
// As parse_duration_ms, and a number alone is milliseconds.
Result<double> parse_milliseconds(std::string_view text);

// At most three digits before the unit's next step: "312 B", "34.4 MiB", "1.00 GiB".
std::string format_bytes(uint64_t bytes);
std::string format_rate(double bytes_per_s);  // "1.52 GiB/s"
std::string format_ms(double ms);             // "3.1 ms", "38 ms", "1.52 s", "2 m 05 s"
std::string format_count(uint64_t count);     // "262 144"

}  // namespace godwit::cli
