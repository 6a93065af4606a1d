// The files of a process whose content can change without an event: those mapped shared and writable, and those open
// for writing (kernel AIO on a plain tree). Read inside the freeze, given to FileSource::final_pass.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::files {

struct FileInUse {
  std::string path;     // as the container sees it, absolute
  uint16_t viewer = 0;  // which container (SourceRoot::viewer)
  bool mapped = false;  // shared and writable: compare its blocks; else open for writing: compare its status
  // The name by which it was opened is gone, but it has others: it is recognised by these.
  bool nameless = false;
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
};

// Collects them from /proc/PID/maps and fd of all `pids` (host pids), each path once, sorted. Processes that have ended
// and deleted files are left out. `pids` are the container's: paths are read as the kernel shows them, from the root of
// their mount namespace; a process in a deeper chroot is not told apart.
Result<std::vector<FileInUse>> files_in_use(std::span<const pid_t> pids);

}  // namespace godwit::files
