// Reading another process's memory.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "base/result.h"

namespace godwit::os {

// Reads by process_vm_readv (fastest), and what that refuses (PROT_NONE, write-only mappings) by /proc/PID/mem.
//
// Returns the bytes read from `address` on: less than `size` if a page in between cannot be read (0: the first one),
// because it is not mapped, a guard, or gone. ESRCH: the process has ended; other errors as they come.
Result<size_t> read_process_memory(pid_t pid, uint64_t address, void* data, size_t size);

}  // namespace godwit::os
