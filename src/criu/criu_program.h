// The installed criu and the two small files of ours that go with it: the library that is preloaded into it (shim/)
// and the program that stands in for it when runc starts it.
#pragma once

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "os/subprocess.h"

namespace godwit::criu {

// How a criu is started that will answer one request.
struct SwrkOptions {
  std::string shim_mode;                     // "dump", or empty: without the shim
  std::string network_namespace;             // a path to enter first; empty: ours
  std::string directory;                     // its working directory; empty: ours
  std::vector<std::string> namespaces = {};  // further ones to enter
  std::string lock = {};                     // a file that is locked while it lives; empty: none
};

// A `criu swrk` process and our end of its socket. It lives on when its owner dies: a criu that is killed in the middle
// of a dump leaves TCP connections in repair mode. It ends by itself when its socket closes before a request came.
struct Swrk {
  os::Subprocess process;
  UniqueFd socket;
  UniqueFd ready;    // of a pipe into which the shim writes when it is loaded
  UniqueFd scanned;  // of a pipe from which it reads a byte before criu touches memory (shim mode "dump")
};

// Immutable once found; any thread.
class CriuProgram {
 public:
  static constexpr int version_min = 40200;

  // Looks for criu in PATH and the sbin directories, asks its version, and finds our own files beside this program.
  // Errors say what was found and what to install.
  static Result<CriuProgram> find(Deadline deadline);
  // The same for a criu at `path`.
  static Result<CriuProgram> at(const std::string& path, Deadline deadline);

  // Has criu find out what the kernel can do and remember it in /run/criu.kdat: 50 ms that the first dump or restore
  // would otherwise take longer. Also fails if criu finds this kernel unfit for restoring with lazy memory.
  [[nodiscard]] Result<> warm_up(Deadline deadline) const;

  [[nodiscard]] Result<Swrk> start(const SwrkOptions& options, Deadline deadline) const;
  // Waits until a criu started with a shim mode has loaded itself and the shim. Without the shim a dump would contain
  // all memory, and a restored container might run unheld: so its absence is an error.
  [[nodiscard]] static Result<> wait_loaded(Swrk& swrk, Deadline deadline);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const std::string& shim() const { return shim_; }          // libgodwit-shim.so
  [[nodiscard]] const std::string& stand_in() const { return stand_in_; }  // godwit-criu
  [[nodiscard]] std::string version() const;                               // "4.2.1"

 private:
  CriuProgram() = default;
  std::string path_;
  std::string shim_;
  std::string stand_in_;
  int version_ = 0;
};

}  // namespace godwit::criu
