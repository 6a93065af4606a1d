#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::os {

// One line of /proc/PID/mountinfo (proc(5)), escapes undone.
struct Mount {
  int id = 0;
  int parent_id = 0;
  std::string device;       // "8:1"
  std::string root;         // what of the file system is mounted, "/" for all of it
  std::string mount_point;  // in the process's own view
  std::string options;      // of this mount: "rw,nosuid"
  std::string type;         // "overlay", "tmpfs"
  std::string source;
  std::map<std::string, std::string> super_options;  // {"lowerdir": "/a:/b"}; "" for words without a value
};

// In the order of the file: parents before children.
Result<std::vector<Mount>> read_mounts(pid_t pid);
Result<Mount> parse_mount(const std::string& line);

}  // namespace godwit::os
