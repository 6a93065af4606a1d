// Ctrl-C and kill as something to wait for, so that a verb can end what it began before it goes.
#pragma once

#include <signal.h>

#include "base/result.h"
#include "base/unique_fd.h"

namespace godwit::cli {

// Turns SIGINT and SIGTERM, and with `hangup_too` SIGHUP, into a readable descriptor from construction to destruction.
// One at a time, made before any thread.
class Interrupts {
 public:
  explicit Interrupts(bool hangup_too);
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // How many came so far.
  int count();

 private:
  sigset_t signals_;
  UniqueFd fd_;
  int count_ = 0;
};

}  // namespace godwit::cli
