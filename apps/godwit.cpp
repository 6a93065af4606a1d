// The command line: `godwit demo`, `godwit migrate`, ... (src/cli).
#include "cli/verbs.h"

int main(int argc, char** argv) {
  return godwit::cli::run_command_line(argc, argv, GODWIT_VERSION);
}
