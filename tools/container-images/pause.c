// The first process of a pod's sandbox: it holds the pod's namespaces, buries orphans where containers share their
// process namespace, and ends when told to.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

static void bury(int signal) {
  (void)signal;
  while (waitpid(-1, NULL, WNOHANG) > 0) {
  }
}

int main(void) {
  // The first process of a process namespace gets no signal that it does not handle.
  const struct sigaction ends = {.sa_handler = end};
  const struct sigaction buries = {.sa_handler = bury, .sa_flags = SA_NOCLDSTOP};
  if (sigaction(SIGINT, &ends, NULL) != 0 || sigaction(SIGTERM, &ends, NULL) != 0) return 1;
  if (sigaction(SIGCHLD, &buries, NULL) != 0) return 1;
  while (1) pause();
}
