// The kubectl plugin: `kubectl godwit migrate`, `kubectl godwit explain`, ... (src/plugin).
#include "plugin/verbs.h"

int main(int argc, char** argv) {
  return godwit::plugin::run_command_line(argc, argv, GODWIT_VERSION);
}
