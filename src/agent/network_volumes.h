// Volumes of network file systems. What a container has written there may be in this node's memory alone, and the
// destination, which opens the same files, would read older contents and write over newer ones.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "agent/source_container.h"
#include "base/deadline.h"
#include "base/result.h"

namespace godwit::agent {

// Whether a file system of that type (/proc/filesystems, with a subtype after a dot) is on other machines.
bool is_network_file_system(std::string_view type);
struct NetworkVolume {
  std::string path;    // of this node
  pid_t init_pid = 0;  // of the container that has it mounted
};
// Each file system once.
std::vector<NetworkVolume> network_volumes(const std::vector<SourceContainer>& containers);
// Writes out all that is in memory of them. Error: one cannot be written, or does not answer in time.
Result<> write_out(const std::vector<NetworkVolume>& volumes, Deadline deadline);

}  // namespace godwit::agent
