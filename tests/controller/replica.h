// A godwit-controller process.
#pragma once

#include <optional>
#include <string>

#include "base/unique_fd.h"
#include "os/subprocess.h"
#include "transfer/loopback.h"

namespace godwit::controller {

// Killed at its end. Its Lease is in `space`.
class Replica {
 public:
  Replica(const transfer::Authority& authority, const std::string& space, const std::string& name);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  [[nodiscard]] std::string log() const;
  [[nodiscard]] long status_kb(const std::string& field) const;  // of /proc/PID/status
  [[nodiscard]] double cpu_s() const;                            // used so far
  void kill();
  int end();  // by SIGTERM; its exit status

 private:
  std::string log_path_;
  std::optional<os::Subprocess> process_;
};

}  // namespace godwit::controller
