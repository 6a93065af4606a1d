// criu reads /proc/PID/smaps of every task in the freeze, of which it wants the flags of each mapping alone; the kernel
// walks every page to make that file, some 10 ms a GiB. So it is read before the freeze, while the container runs, and
// in the freeze the flags are put to the mappings that there are then.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace godwit::criu {

// Owned by a source's copy; one thread at a time.
class SmapsCache {
 public:
  // Reads the flags of all mappings of running processes; one that ends meanwhile is passed over.
  Result<> remember(const std::vector<pid_t>& processes);

  // For frozen processes: writes `smaps-PID` into `directory` for each whose mappings are all known, as the shim wants
  // them (shim/shim.c). For the others criu reads the real file: a mapping that is new or has another length,
  // protection or file since, or memory that was locked or unlocked. What a program changes in no other way than by
  // madvise() on a whole mapping in these last milliseconds (MADV_DONTFORK, MADV_DONTDUMP, ...) is not seen. Returns
  // the number of files written.
  [[nodiscard]] Result<int> write(const std::vector<pid_t>& processes, const std::string& directory) const;

 private:
  struct Process {
    std::unordered_map<std::string, std::string> flags;  // by the mapping's line: the line of its flags
    uint64_t locked_kib = 0;
  };
  std::map<pid_t, Process> processes_;
};

}  // namespace godwit::criu
