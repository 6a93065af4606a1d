// The files of Godwit on a node: its programs, the handler `live` of containerd, the network plugin. Puts them there
// and takes them away; runs nothing and restarts nothing.
#pragma once

#include <string>

#include "base/result.h"
#include "install/containerd_config.h"
#include "install/record.h"

namespace godwit::install {

struct NodePlaces {
  std::string source;       // directory with the programs, as they are in the image
  std::string directory;    // where they shall be on the node
  std::string config_path;  // containerd's main file
  Effective containerd;     // what containerd says of itself, without or with what is ours
  std::string version;      // of Godwit
};

// Owned by whoever installs, one thread at a time. The node's root is the process's own.
class NodeFiles {
 public:
  explicit NodeFiles(NodePlaces places) : places_(std::move(places)) {}

  // Everything, again and again the same. True: containerd must be restarted, and then told_restarted() be called.
  Result<bool> install();
  Result<> told_restarted();
  // The network's configuration and containerd's main file may have been written anew by their owners: follows them.
  // True: something was changed.
  Result<bool> follow();

  // Takes containerd's and the network's part back: files as they were, byte by byte. True: containerd runs with what
  // was there. Nothing was installed: false.
  static Result<bool> take_back(const std::string& directory);
  // What is left then. Containers that were made by the handler go on, and their shims call its program
  // until they end: as long as there are any, a stand-in keeps its place, which removes itself with the last of them.
  // `tasks`: where containerd's shims keep what they run. True: a stand-in was left.
  static Result<bool> remove_rest(const std::string& directory, const std::string& tasks);

 private:
  [[nodiscard]] std::string in_directory(const std::string& name) const { return places_.directory + "/" + name; }
  Result<Record> begin();
  [[nodiscard]] Result<std::string> wrapped() const;
  Result<> make_directory(Record& record);
  Result<> copy_programs();
  Result<> write_handler(Record& record);
  Result<bool> write_network(Record& record);

  NodePlaces places_;
};

// Whether a container that runs, of those in the task directories, was made by the program at `runtime`.
bool runs_containers(const std::string& tasks, const std::string& runtime);

}  // namespace godwit::install
