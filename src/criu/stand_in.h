// The program that runc starts in place of criu (apps/godwit_criu.cpp), and our side of it.
//
// runc starts criu several times: for its version, for features, and for the restore. The stand-in looks at the request
// without taking it. All but a restore it leaves to the real criu. For a restore it sends runc's socket to the worker,
// gets another one back, enters the container's network namespace and becomes a criu, with the shim preloaded, that
// serves the worker. Being the same process all along, it stays what runc believes it to be: its child, and in the
// cgroups of the container, where the restored processes come to life.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "criu/criu_program.h"

namespace godwit::criu {

// A runc and a criu that both believe to talk to each other.
struct Intercepted {
  UniqueFd runc;        // runc's end
  UniqueFd criu;        // criu's end
  std::string request;  // runc's request, taken from its socket
  pid_t criu_pid = 0;
};

// Our side: made before runc is started, for one restore. One thread.
class StandIn {
 public:
  // Makes `directory` with a `criu` in it, and the socket that the stand-in will connect to.
  static Result<StandIn> make(const CriuProgram& criu, const std::string& directory);
  // For runc's environment. `init_pid`: the number that the restored first process must have, 0: any; `namespaces`:
  // further ones than the container's network that criu has to enter.
  [[nodiscard]] std::vector<std::string> environment(pid_t init_pid = 0,
                                                     const std::vector<std::string>& namespaces = {}) const;
  // The socket on which the stand-in reports; readable when intercept() has something to do.
  [[nodiscard]] int fd() const { return listener_.get(); }
  // Waits for the restore's stand-in and returns when criu is loaded.
  Result<Intercepted> intercept(Deadline deadline);

 private:
  StandIn(const CriuProgram& criu, std::string directory, UniqueFd listener)
      : criu_path_(criu.path()), shim_(criu.shim()), directory_(std::move(directory)), listener_(std::move(listener)) {}
  std::string criu_path_;
  std::string shim_;
  std::string directory_;
  UniqueFd listener_;
};

// The stand-in's main(): returns only on an error, with the exit status.
int stand_in_main(int argc, char** argv);

}  // namespace godwit::criu
