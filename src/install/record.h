// What Godwit has put on a node, so that exactly that can be taken away again: `installed.json` in the directory of its
// programs. Written before each change that it tells of.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace godwit::install {

struct Record {
  std::string version;            // of Godwit, for people
  std::string config_path;        // containerd's main file
  std::string inserted;           // into it; empty: nothing
  std::string handler_path;       // the file that it imports
  std::string network_path;       // the network configuration with godwit-cni in it
  std::string plugin_path;        // the plugin among the network's
  std::vector<std::string> made;  // directories that were not there before, the deepest first
  bool restart_due = false;       // containerd does not run with this configuration yet

  bool operator==(const Record&) const = default;
};

inline constexpr const char* record_name = "installed.json";

// Nothing: there is none. Error: it is damaged, or of a version that keeps another kind of record.
Result<std::optional<Record>> read_record(const std::string& directory);
Result<> write_record(const std::string& directory, const Record& record);

}  // namespace godwit::install
