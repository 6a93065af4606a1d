// What the tests of the installation share.
#pragma once

#include <string>

#include "base/deadline.h"
#include "lab/layout.h"
#include "os/file.h"
#include "os/subprocess.h"

namespace godwit::install {

// The one that tools/helm.sh has built; empty: it has not.
inline std::string helm_program() {
  std::string path = lab::built("helm") + "/helm";
  return os::exists(path) ? path : "";
}
inline std::string chart() {
  return GODWIT_SOURCE "/deploy/helm/godwit";
}
inline Deadline helm_time() {
  return Deadline::after(std::chrono::seconds(60));
}

}  // namespace godwit::install
