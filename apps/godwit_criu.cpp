// Started by runc in place of criu: see criu/stand_in.h.
#include "criu/stand_in.h"

int main(int argc, char** argv) {
  return godwit::criu::stand_in_main(argc, argv);
}
