#pragma once

#include "base/result.h"

namespace godwit::bench {

// Moves this process, which must have no other threads yet, and what it forks into a network namespace of its own, with
// the loopback interface up: nobody's firewall rules or traffic are in the way. It ends with the processes in it.
Result<> enter_loopback_namespace();

}  // namespace godwit::bench
