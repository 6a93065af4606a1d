// The mappings of a process that criu has restored and still holds, and how each is to be filled.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "os/procfs.h"

namespace godwit::memory {

struct RestoredMapping {
  os::Vma vma;
  bool lazy = false;          // a userfaultfd is told of its missing pages
  bool wipe_on_fork = false;  // MADV_WIPEONFORK

  // Its pages are its own: not shared with others, and not made by the kernel.
  [[nodiscard]] bool holds_pages() const { return !vma.shared && !vma.from_kernel(); }
  [[nodiscard]] bool over_file() const { return vma.inode != 0; }
};

// From /proc/PID/smaps, ascending. Costs some microseconds a mapping.
Result<std::vector<RestoredMapping>> read_restored_mappings(pid_t pid);
Result<std::vector<RestoredMapping>> parse_restored_mappings(const std::string& smaps);

}  // namespace godwit::memory
