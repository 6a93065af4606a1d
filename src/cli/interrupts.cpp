#include "cli/interrupts.h"

#include <sys/signalfd.h>
#include <unistd.h>

namespace godwit::cli {

Interrupts::Interrupts(bool hangup_too) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  if (hangup_too) sigaddset(&signals_, SIGHUP);
  GODWIT_CHECK(::sigprocmask(SIG_BLOCK, &signals_, nullptr) == 0);
  fd_ = UniqueFd(::signalfd(-1, &signals_, SFD_CLOEXEC | SFD_NONBLOCK));
  GODWIT_CHECK(fd_.valid());
}

Interrupts::~Interrupts() {
  count();  // what is pending has been answered; it must not kill us now
  ::sigprocmask(SIG_UNBLOCK, &signals_, nullptr);
}

int Interrupts::count() {
  signalfd_siginfo info{};
  while (::read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) ++count_;
  return count_;
}

}  // namespace godwit::cli
