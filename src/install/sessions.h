#pragma once

#include <cstddef>

#include "base/result.h"

namespace godwit::install {

// What of a node's migrations is not over: sessions without a result, and containers that have moved away and are still
// to be ended. For a process that has entered the node.
Result<size_t> sessions_under_way();

}  // namespace godwit::install
