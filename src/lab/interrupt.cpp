#include "lab/interrupt.h"

#include <signal.h>

namespace godwit::lab {

void wait_for_interrupt() {
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGINT);
  sigaddset(&ending, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &ending, nullptr);
  int signal = 0;
  ::sigwait(&ending, &signal);
}

}  // namespace godwit::lab
