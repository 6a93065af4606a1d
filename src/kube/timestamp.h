// The two forms of time in API objects: metav1.Time (whole seconds) and metav1.MicroTime, both RFC 3339 in UTC.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace godwit::kube {

using WallTime = std::chrono::system_clock::time_point;

std::string format_time(WallTime when);        // 2024-05-01T12:00:00Z
std::string format_micro_time(WallTime when);  // 2024-05-01T12:00:00.000000Z
// Either form, with any number of digits after the point and any offset.
Result<WallTime> parse_timestamp(std::string_view text);

}  // namespace godwit::kube
